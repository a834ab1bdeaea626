//! The directory: a domain and two users, created over REST, applied by every node.

use serde_json::json;

use super::{Demo, PASSWORD};
use crate::harness::Result;

pub(super) async fn create(demo: &mut Demo) -> Result<String> {
    demo.rest.post("/v1/domains", &json!({ "name": "demo.test" })).await?;
    for (local_part, node) in [("alice", "storage-1"), ("bob", "storage-2")] {
        let user = json!({
            "local_part": local_part,
            "password": PASSWORD,
            "display_name": local_part,
            "quota_bytes": 100_000_000,
            "storage_node": node,
        });
        demo.rest.post("/v1/domains/demo.test/users", &user).await?;
    }
    Ok("alice@demo.test on storage-1, bob@demo.test on storage-2".to_owned())
}

pub(super) async fn applied(demo: &mut Demo) -> Result<String> {
    let directory = demo.rest.converged().await?;
    Ok(format!("all four nodes are at version {}", directory["version"]))
}

//! What the nodes report: status, load, queue, and counts that equal what was sent.

use std::time::Duration;

use super::Demo;
use crate::{
    ensure,
    harness::{Result, until},
};

/// How long counts may take from the log of a node to the API.
const REPORTED: Duration = Duration::from_secs(20);

/// Messages that the API must have counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// From elsewhere.
    pub(super) received: u64,
    /// By authenticated users.
    pub(super) submitted: u64,
    /// Saved to mailboxes, one per recipient.
    pub(super) stored: u64,
}

pub(super) async fn compare(demo: &mut Demo) -> Result<String> {
    counted(demo).await?;
    let mut said = Vec::new();
    for name in ["smtp-1", "pop-1", "storage-1", "storage-2"] {
        let node = demo.node(name).await?;
        ensure!(node["status"] == "ready", "{name} is {}", node["status"]);
        let load = &node["load"];
        ensure!(load.as_object().is_some_and(|load| !load.is_empty()), "{name} has no load");
        let load = load["load_1m"].as_f64().unwrap_or_default();
        said.push(format!("{name} ready (load {load:.1})"));
    }
    queue_equals(demo).await?;
    let counts = &demo.counts;
    Ok(format!(
        "{}; counted {} received, {} submitted, {} stored; queue as postqueue -j has it",
        said.join(", "),
        counts.received,
        counts.submitted,
        counts.stored,
    ))
}

/// Waits until the API has counted exactly what was sent.
pub(super) async fn counted(demo: &Demo) -> Result {
    ensure!(demo.counts.received > 0, "nothing was sent");
    until(REPORTED, async || {
        let counts = Counts {
            received: sum(demo, "smtp-1", "received").await?,
            submitted: sum(demo, "smtp-1", "submitted").await?,
            stored: sum(demo, "storage-1", "stored").await?
                + sum(demo, "storage-2", "stored").await?,
        };
        let equal = counts == demo.counts;
        Ok(if equal { Ok(()) } else { Err(format!("{counts:?}, sent {:?}", demo.counts)) })
    })
    .await
}

async fn sum(demo: &Demo, node: &str, kind: &str) -> Result<u64> {
    let traffic = demo.rest.get(&format!("{}/traffic", demo.node_path(node).await?)).await?;
    let totals = traffic["totals"].as_array().ok_or("traffic without totals")?;
    let total = totals.iter().find(|total| total["kind"] == kind);
    Ok(total.and_then(|total| total["messages"].as_u64()).unwrap_or_default())
}

/// The queue that the API shows is the queue that Postfix has.
async fn queue_equals(demo: &Demo) -> Result {
    until(REPORTED, async || {
        let queue = demo.fleet.node("smtp-1")?.queue().await?;
        let shown = demo.node("smtp-1").await?["queue"].clone();
        let of = |name: &str| queue.get(name).copied().unwrap_or_default();
        let equal = ["active", "deferred", "hold", "incoming"]
            .iter()
            .all(|name| shown[name].as_u64() == Some(of(name)));
        Ok(if equal { Ok(()) } else { Err(format!("API {shown}, postqueue -j {queue:?}")) })
    })
    .await
}

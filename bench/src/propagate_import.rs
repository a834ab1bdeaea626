//! `propagate-import`: the longest that single changes take to a node while users are imported, against
//! what the import takes until the node has all of it. A change that waited for the import would make
//! the ratio 1.

use std::{cell::Cell, net::Ipv4Addr, time::Instant};

use reqwest::Method;
use serde_json::json;

use crate::{
    Failure, import,
    node::{Node, Ports, wait_until_ready},
    outcome::{Gate, Outcome, median, percentile},
    propagate::{alias, patch, reader},
    server::Server,
};

/// Users of one round.
const ROWS: usize = 50_000;

/// Measures single changes during one import after the other.
pub(crate) async fn measure(rounds: usize) -> Result<Outcome, Failure> {
    let server = Server::start().await?;
    let alias = alias(&server).await?;
    let node = Node::join(&server, "smtp", Ipv4Addr::LOCALHOST.into(), Ports::free()?).await?;
    wait_until_ready(&server, 1).await?;
    import::storage_nodes(&server)?;
    let content = import::content(ROWS)?;
    let mut reader = reader(node.layout()).await?;
    let (mut ratios, mut all, mut whole) = (vec![], vec![], vec![]);
    for round in 0..rounds {
        let domain = format!("import{round}.example");
        server.send(Method::POST, "/v1/domains", Some(json!({ "name": domain }))).await?;
        let started = Instant::now();
        let is_over = Cell::new(false);
        let importing = async {
            let imported = arrived(&server, &domain, &content).await;
            is_over.set(true);
            imported.map(|()| started.elapsed().as_secs_f64())
        };
        let patching = async {
            let mut seconds = Vec::new();
            while !is_over.get() {
                let target = format!("v{round}x{}@elsewhere.example", seconds.len());
                seconds.push(patch(&server, &mut reader, &alias, &target).await?);
            }
            Ok::<_, Failure>(seconds)
        };
        let (took, seconds) = tokio::join!(importing, patching);
        let (took, seconds) = (took?, seconds?);
        ratios.push(percentile(&seconds, 1.0) / took);
        all.extend(seconds);
        whole.push(took);
    }
    Ok(Outcome {
        name: "propagate-import",
        ratio: median(&ratios),
        gate: Gate::AtMost(0.25),
        goal: Gate::AtMost(0.05),
        details: format!(
            "p50={:.0}ms p99={:.0}ms changes={} import_to_node={:.1}s rows={ROWS} rounds={rounds}",
            median(&all) * 1e3,
            percentile(&all, 0.99) * 1e3,
            all.len(),
            median(&whole)
        ),
    })
}

/// Imports users, until the node has all of them.
async fn arrived(server: &Server, domain: &str, content: &str) -> Result<(), Failure> {
    import::import(server, domain, content, ROWS).await?;
    import::settle(server).await?;
    let path = "/v1/directory?wait_seconds=60";
    let directory = server.send(Method::GET, path, None).await?;
    if directory.get("converged") == Some(&json!(true)) {
        Ok(())
    } else {
        Err(format!("the node does not follow: {directory}").into())
    }
}

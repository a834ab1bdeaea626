//! One listener of a node stopped and started from afar; the others do not notice.

use std::time::Duration;

use serde_json::json;

use super::{ALICE, BOB, Demo};
use crate::{
    ensure,
    harness::{Because, Result, until},
};

/// How long a node may take to carry out a change.
const APPLIED: Duration = Duration::from_secs(15);

pub(super) async fn stop(demo: &mut Demo) -> Result<String> {
    let mut imap = demo.imap(BOB).await?;
    imap.select("INBOX").await?;
    set(demo, &["imap"]).await?;
    until(APPLIED, async || {
        let address = demo.address("pop-1", 995)?;
        let answer = tokio::net::TcpStream::connect(address).await;
        Ok(answer.map_or(Ok(()), |_stream| Err("POP3 still answers".to_owned())))
    })
    .await?;
    let clear = tokio::net::TcpStream::connect(demo.address("pop-1", 110)?).await;
    ensure!(clear.is_err(), "POP3 still answers on port 110");
    imap.entries().await.because("the IMAP session that was open")?;
    imap.logout().await?;
    demo.imap(ALICE).await?.logout().await?;
    Ok("POP3 refused; the open IMAP session and a new one work".to_owned())
}

pub(super) async fn start(demo: &mut Demo) -> Result<String> {
    set(demo, &["imap", "pop3"]).await?;
    until(APPLIED, async || {
        let mut pop = demo.pop3(ALICE).await?;
        Ok(Ok(pop.quit().await?))
    })
    .await?;
    Ok("POP3 works again".to_owned())
}

async fn set(demo: &Demo, listeners: &[&str]) -> Result {
    let path = format!("{}/services/dovecot", demo.node_path("pop-1").await?);
    demo.rest.patch(&path, &json!({ "listeners": listeners })).await.map(|_service| ())
}

//! A mailbox moves to the other storage node while numbered messages arrive.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::json;

use super::{ALICE, DELIVERY, Demo, messages::GUEST};
use crate::{
    ensure,
    harness::{
        Result,
        load::{Flow, Plan, Sent},
        mail::imap::Entry,
        until,
    },
};

/// Messages that must arrive during the move at least.
const AT_LEAST: usize = 500;
/// Messages a second.
const RATE: u32 = 40;
/// How long the move may take.
const LIMIT: Duration = Duration::from_mins(1);

pub(super) async fn under_load(demo: &mut Demo) -> Result<String> {
    mark(demo).await?;
    let (validity, before) = mailbox(demo).await?;
    let flow = Flow::start(Plan {
        server: demo.address("smtp-1", 25)?,
        from: GUEST.to_owned(),
        to: vec![ALICE.to_owned()],
        name: "move".to_owned(),
        rate: RATE,
    });
    let moved = move_user(demo, &flow).await;
    let sent = flow.finish().await?;
    demo.counts.received += sent.accepted.len() as u64;
    demo.counts.stored += sent.accepted.len() as u64;
    let operation = moved?;
    ensure!(sent.refused.is_empty(), "refused for good: {:?}", sent.refused.first());
    let user = demo.rest.get(&format!("/v1/users/{ALICE}")).await?;
    let target = demo.node("storage-2").await?;
    let place = &user["storage_node"];
    ensure!(
        [&target["id"], &target["name"]].contains(&place) || place["id"] == target["id"],
        "alice is on {place}"
    );
    let after = until(DELIVERY, async || {
        let (validity_now, after) = mailbox(demo).await?;
        ensure!(validity_now == validity, "UIDVALIDITY {validity} became {validity_now}");
        let missing = sent.accepted.iter().filter(|id| !contains(&after, id)).count();
        Ok(if missing == 0 { Ok(after) } else { Err(format!("{missing} messages are missing")) })
    })
    .await?;
    compare(&before, &after, &sent)?;
    Ok(format!(
        "{} messages at {}/s, {} deferred and sent again, none lost, none doubled, UIDs and \
         flags kept{}",
        sent.accepted.len(),
        sent.accepted.len() as u64 / sent.duration.as_secs().max(1),
        sent.deferred,
        operation,
    ))
}

/// Gives old messages flags that must survive.
async fn mark(demo: &Demo) -> Result {
    let mut imap = demo.imap(ALICE).await?;
    imap.select("INBOX").await?;
    let entries = imap.entries().await?;
    ensure!(entries.len() >= 2, "alice has {} messages only", entries.len());
    for (entry, flags) in entries.iter().zip(["\\Seen \\Flagged", "\\Answered Important"]) {
        imap.mark(entry.uid, flags).await?;
    }
    imap.logout().await
}

async fn move_user(demo: &Demo, flow: &Flow) -> Result<String> {
    flow.reached(AT_LEAST / 5, LIMIT).await?;
    let path = format!("/v1/users/{ALICE}/moves");
    let operation = demo.rest.post(&path, &json!({ "storage_node": "storage-2" })).await?;
    let started = std::time::Instant::now();
    demo.rest.finished(&operation, LIMIT).await?;
    let took = started.elapsed().as_secs_f64();
    flow.reached(AT_LEAST, LIMIT).await?;
    Ok(format!("; the move took {took:.1} s"))
}

async fn mailbox(demo: &Demo) -> Result<(u32, Vec<Entry>)> {
    let mut imap = demo.imap(ALICE).await?;
    let validity = imap.select("INBOX").await?;
    let entries = imap.entries().await?;
    imap.logout().await?;
    Ok((validity, entries))
}

fn contains(entries: &[Entry], id: &str) -> bool {
    entries.iter().any(|entry| entry.message_id == id)
}

fn compare(before: &[Entry], after: &[Entry], sent: &Sent) -> Result {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in after {
        *counts.entry(entry.message_id.as_str()).or_default() += 1;
    }
    let doubled: Vec<_> = counts.iter().filter(|(_id, count)| **count > 1).collect();
    ensure!(doubled.is_empty(), "doubled: {doubled:?}");
    let uids: BTreeSet<u32> = after.iter().map(|entry| entry.uid).collect();
    ensure!(uids.len() == after.len(), "a UID was given twice");
    for entry in before {
        ensure!(after.contains(entry), "changed by the move: {entry:?}");
    }
    let expected = before.len() + sent.accepted.len();
    ensure!(after.len() == expected, "{} messages instead of {expected}", after.len());
    Ok(())
}

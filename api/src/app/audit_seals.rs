//! Seals audit events into the chain, and verifies the chain.

use uuid::Uuid;

use crate::{
    context::Context,
    error::Result,
    model::audit::Head,
    store::{self, audit_seals::Seal},
};

/// Events sealed in one transaction.
const SEALED: i64 = 1_000;
/// Seals, and events, that are verified at once.
const VERIFIED: i64 = 1_000;

/// Seals what waits for it, as long as nobody else does. Returns how many events were sealed.
pub async fn seal(cx: &Context) -> Result<u64> {
    let mut done = 0;
    loop {
        let mut tx = cx.begin().await?;
        if !store::audit_seals::try_lock(&mut *tx).await? {
            return Ok(done);
        }
        let events = store::audit_seals::list_unsealed(&mut *tx, SEALED).await?;
        if events.is_empty() {
            // Gives the lock back at once: whoever comes next finds it free.
            tx.commit().await?;
            return Ok(done);
        }
        // As the database keeps it.
        let sealed_at = cx.now();
        let sealed_at =
            sealed_at - time::Duration::nanoseconds(i64::from(sealed_at.nanosecond() % 1_000));
        let start = store::audit_seals::head(&mut *tx).await?;
        let mut head = start;
        let mut links = Vec::with_capacity(events.len());
        for event in &events {
            head = head.seal(event, sealed_at);
            links.push((event.id, head.digest));
        }
        store::audit_seals::insert(&mut tx, start.sequence, sealed_at, &links).await?;
        tx.commit().await?;
        done += events.len() as u64;
    }
}

/// What a verification has found.
#[derive(Debug, PartialEq, Eq)]
pub enum Finding {
    /// All is as it was sealed.
    Intact {
        /// Where the chain ends.
        head: Head,
        /// How many sealed events there are.
        sealed: i64,
        /// How many wait for their seal.
        unsealed: i64,
    },
    /// It is not.
    Broken {
        /// The first sequence number at which the chain breaks; nothing for what is outside of it.
        sequence: Option<i64>,
        /// What is wrong.
        reason: String,
    },
}

impl Finding {
    fn broken(sequence: i64, reason: impl Into<String>) -> Self {
        Self::Broken { sequence: Some(sequence), reason: reason.into() }
    }
}

/// Follows the chain from its beginning, and looks for events outside of it. With a head that was
/// remembered, the chain has to reach it.
pub async fn verify(cx: &Context, remembered: Option<Head>) -> Result<Finding> {
    loop {
        let anchor = store::audit_seals::anchor(cx.pool()).await?;
        if remembered.is_some_and(|remembered| remembered.sequence < anchor.sequence) {
            let reason = "it was pruned, so that the head remembered cannot be compared";
            return Ok(Finding::broken(anchor.sequence, reason));
        }
        let finding = verify_from(cx, anchor, remembered).await?;
        // Somebody may have pruned meanwhile.
        if matches!(finding, Finding::Intact { .. })
            || anchor == store::audit_seals::anchor(cx.pool()).await?
        {
            return Ok(finding);
        }
    }
}

async fn verify_from(cx: &Context, anchor: Head, remembered: Option<Head>) -> Result<Finding> {
    let mut head = anchor;
    if let Err(finding) = compare(head, remembered) {
        return Ok(finding);
    }
    loop {
        let seals = store::audit_seals::list(cx.pool(), head.sequence, VERIFIED).await?;
        if seals.is_empty() {
            break;
        }
        for seal in &seals {
            match follow(head, seal).and_then(|next| compare(next, remembered)) {
                Ok(next) => head = next,
                Err(finding) => return Ok(finding),
            }
        }
    }
    if remembered.is_some_and(|remembered| remembered.sequence > head.sequence) {
        let reason = "it is missing: the chain ends before the head that was remembered";
        return Ok(Finding::broken(head.sequence + 1, reason));
    }
    if let Some(finding) = find_outside(cx).await? {
        return Ok(finding);
    }
    let unsealed = store::audit_seals::count_unsealed(cx.pool()).await?;
    Ok(Finding::Intact { head, sealed: head.sequence - anchor.sequence, unsealed })
}

/// The head, unless another one is remembered of this place.
fn compare(head: Head, remembered: Option<Head>) -> Result<Head, Finding> {
    match remembered {
        Some(remembered) if remembered.sequence == head.sequence && remembered != head => {
            Err(Finding::broken(head.sequence, "its digest is not the one remembered"))
        }
        _ => Ok(head),
    }
}

/// The next head, if the seal and its event are what was sealed.
fn follow(head: Head, seal: &Seal) -> Result<Head, Finding> {
    let sequence = head.sequence + 1;
    if seal.head.sequence != sequence {
        return Err(Finding::broken(sequence, "its seal is missing"));
    }
    let Some(event) = &seal.event else {
        return Err(Finding::broken(sequence, "its event was removed"));
    };
    if head.seal(event, seal.sealed_at) != seal.head {
        let reason = format!("event {}, its seal or their order was changed", event.id);
        return Err(Finding::broken(sequence, reason));
    }
    Ok(seal.head)
}

/// An event that is neither sealed nor waits for it.
async fn find_outside(cx: &Context) -> Result<Option<Finding>> {
    let mut after = Uuid::nil();
    loop {
        let events = store::audit_seals::list_accounted(cx.pool(), after, VERIFIED).await?;
        let Some((last, _)) = events.last() else { return Ok(None) };
        after = last.uuid();
        if let Some((id, _)) = events.iter().find(|(_, is_accounted)| !is_accounted) {
            let reason =
                format!("event {id} has no seal: somebody inserted it, or removed the seal");
            return Ok(Some(Finding::Broken { sequence: None, reason }));
        }
    }
}

//! Messages in by SMTP and submission, out by POP3 and IMAP.

use super::{ALICE, BOB, DELIVERY, Demo, PASSWORD};
use crate::{
    ensure,
    harness::{
        Result,
        mail::{Smtp, header, message},
        until,
    },
};

/// Who writes from elsewhere.
pub(super) const GUEST: &str = "guest@elsewhere.test";
/// Messages from elsewhere to each user.
const EACH: u32 = 3;

pub(super) async fn send(demo: &mut Demo) -> Result<String> {
    let mut smtp = Smtp::connect(demo.address("smtp-1", 25)?).await?;
    for number in 0..EACH {
        for to in [ALICE, BOB] {
            let id = format!("first-{number}-{to}");
            let reply = smtp.send(GUEST, &[to], &message(GUEST, to, &id, "a greeting")).await?;
            ensure!(reply.is_positive(), "message {id}: {reply:?}");
            demo.counts.received += 1;
            demo.counts.stored += 1;
        }
    }
    let submission = Smtp::connect(demo.address("smtp-1", 587)?).await?;
    let mut submission = submission.start_tls(&demo.trust).await?;
    let reply = submission.login(ALICE, PASSWORD).await?;
    ensure!(reply.code == 235, "AUTH: {reply:?}");
    let text = message(ALICE, BOB, "submitted@demo.test", "a submitted message");
    let reply = submission.send(ALICE, &[BOB], &text).await?;
    ensure!(reply.is_positive(), "submission: {reply:?}");
    demo.counts.submitted += 1;
    demo.counts.stored += 1;
    let forged = submission.send(BOB, &[ALICE], &text).await?;
    ensure!(forged.code == 553, "alice could send as bob: {forged:?}");
    let open_relay = smtp.send(GUEST, &["somebody@example.com"], &text).await?;
    ensure!(!open_relay.is_positive(), "the node relays for anybody: {open_relay:?}");
    Ok(format!("{} received, 1 submitted; forged sender and relaying refused", 2 * EACH))
}

pub(super) async fn read(demo: &mut Demo) -> Result<String> {
    let ids = until(DELIVERY, async || {
        let mut pop = demo.pop3(ALICE).await?;
        let ids = pop.unique_ids().await?;
        let mut found = Vec::new();
        for (number, _unique) in &ids {
            let text = pop.retrieve(*number).await?;
            found.push(header(&text, "Message-ID").unwrap_or_default().to_owned());
        }
        pop.quit().await?;
        let count = found.len();
        Ok(if count >= EACH as usize { Ok(found) } else { Err(format!("{count} messages")) })
    })
    .await?;
    for number in 0..EACH {
        let id = format!("first-{number}-{ALICE}");
        ensure!(ids.iter().filter(|found| **found == id).count() == 1, "{id} is not there once");
    }
    let entries = until(DELIVERY, async || {
        let mut imap = demo.imap(BOB).await?;
        imap.select("INBOX").await?;
        let entries = imap.entries().await?;
        imap.logout().await?;
        let count = entries.len();
        Ok(if count > EACH as usize { Ok(entries) } else { Err(format!("{count} messages")) })
    })
    .await?;
    let submitted = entries.iter().any(|entry| entry.message_id == "submitted@demo.test");
    ensure!(submitted, "the submitted message is not in bob's mailbox");
    Ok(format!("{} by POP3 (alice), {} by IMAP (bob)", ids.len(), entries.len()))
}

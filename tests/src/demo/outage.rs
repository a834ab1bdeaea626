//! The control plane dies; the mail does not notice, and nothing is missing afterwards.

use super::{ALICE, BOB, DELIVERY, Demo, PASSWORD, messages::GUEST, traffic};
use crate::{
    ensure,
    harness::{
        Result,
        mail::{Smtp, message},
        until,
    },
};

/// Messages sent to each user during the outage.
const EACH: u32 = 10;

pub(super) async fn kill(demo: &mut Demo) -> Result<String> {
    demo.fleet.server.kill().await?;
    let mut smtp = Smtp::connect(demo.address("smtp-1", 25)?).await?;
    for number in 0..EACH {
        for to in [ALICE, BOB] {
            let id = format!("outage-{number}-{to}");
            let reply = smtp.send(GUEST, &[to], &message(GUEST, to, &id, "an outage")).await?;
            ensure!(reply.is_positive(), "message {id}: {reply:?}");
            demo.counts.received += 1;
            demo.counts.stored += 1;
        }
    }
    let submission = Smtp::connect(demo.address("smtp-1", 587)?).await?;
    let mut submission = submission.start_tls(&demo.trust).await?;
    let reply = submission.login(BOB, PASSWORD).await?;
    ensure!(reply.code == 235, "AUTH: {reply:?}");
    for user in [ALICE, BOB] {
        until(DELIVERY, async || {
            let mut imap = demo.imap(user).await?;
            imap.select("INBOX").await?;
            let entries = imap.entries().await?;
            imap.logout().await?;
            let arrived = entries.iter().filter(|entry| entry.message_id.starts_with("outage-"));
            let count = arrived.count();
            let done = count == EACH as usize;
            Ok(if done { Ok(()) } else { Err(format!("{user} has {count} of {EACH} messages")) })
        })
        .await?;
    }
    demo.pop3(ALICE).await?.quit().await?;
    Ok(format!("{} messages sent and retrieved, logins by SMTP, POP3 and IMAP", 2 * EACH))
}

pub(super) async fn recover(demo: &mut Demo) -> Result<String> {
    demo.fleet.server.start().await?;
    demo.rest.sign_in_again().await?;
    demo.fleet.ready(&demo.rest).await?;
    traffic::counted(demo).await?;
    let counts = &demo.counts;
    Ok(format!("{} received and {} stored in all, exactly", counts.received, counts.stored))
}

//! The systemd supervisor against a fake systemd on a private bus.

#[cfg(test)]
mod fake;

use umail_agent::supervisors::{Supervisor, systemd::Systemd};
use umail_proto::agent::ServiceKind::{Dovecot, Postfix, Unspecified};

use crate::fake::{Bus, Fake};

#[tokio::test]
async fn units_are_started_reloaded_and_stopped() {
    let bus = Bus::start().await;
    let fake = Fake::serve(&bus).await;
    let systemd = Systemd::on_bus(bus.address());
    assert!(!systemd.running(Dovecot).await.unwrap());
    systemd.start(Dovecot).await.unwrap();
    assert!(systemd.running(Dovecot).await.unwrap());
    assert!(!systemd.running(Postfix).await.unwrap());
    systemd.start(Postfix).await.unwrap();
    // It runs: nothing to do.
    systemd.start(Postfix).await.unwrap();
    systemd.reload(Postfix).await.unwrap();
    systemd.stop(Postfix).await.unwrap();
    systemd.stop(Postfix).await.unwrap();
    assert!(!systemd.running(Postfix).await.unwrap());
    assert_eq!(
        fake.asked(),
        [
            "start dovecot.service replace",
            "start postfix@-.service replace",
            "reload postfix@-.service replace",
            "stop postfix@-.service replace",
            "stop postfix@-.service replace",
        ]
    );
}

#[tokio::test]
async fn a_job_is_waited_for_and_its_failure_is_told() {
    let bus = Bus::start().await;
    let fake = Fake::serve(&bus).await;
    let systemd = Systemd::on_bus(bus.address());
    fake.next_result("failed");
    let refusal = systemd.start(Postfix).await.unwrap_err().to_string();
    assert_eq!(refusal, "systemd: postfix@-.service: Start: failed");
    assert!(!systemd.running(Postfix).await.unwrap());
    // systemd refuses at once to reload what does not run.
    let refusal = systemd.reload(Postfix).await.unwrap_err().to_string();
    assert!(refusal.contains("is not active, cannot reload"), "{refusal}");
    // A refusal leaves the connection usable.
    systemd.start(Postfix).await.unwrap();
    assert!(systemd.running(Postfix).await.unwrap());
}

#[tokio::test]
async fn a_unit_that_was_skipped_does_not_count_as_started() {
    let bus = Bus::start().await;
    let fake = Fake::serve(&bus).await;
    fake.forbid();
    let systemd = Systemd::on_bus(bus.address());
    let refusal = systemd.start(Dovecot).await.unwrap_err().to_string();
    assert_eq!(refusal, "systemd: dovecot.service: does not run");
}

#[tokio::test]
async fn other_units_and_the_jobs_of_others_are_left_alone() {
    let bus = Bus::start().await;
    let fake = Fake::serve(&bus).await;
    fake.disturb();
    let systemd = Systemd::on_bus(bus.address());
    systemd.start(Postfix).await.unwrap();
    assert!(systemd.running(Postfix).await.unwrap());
    assert!(systemd.start(Unspecified).await.is_err());
    assert_eq!(fake.asked(), ["start postfix@-.service replace"]);
}

#[tokio::test]
async fn a_bus_that_was_away_is_found_again() {
    let mut bus = Bus::start().await;
    let fake = Fake::serve(&bus).await;
    let systemd = Systemd::on_bus(bus.address());
    systemd.start(Dovecot).await.unwrap();
    drop(fake);
    bus.stop().await;
    assert!(systemd.running(Dovecot).await.is_err());
    bus.start_again().await;
    let _fake = Fake::serve(&bus).await;
    systemd.start(Dovecot).await.unwrap();
    assert!(systemd.running(Dovecot).await.unwrap());
}

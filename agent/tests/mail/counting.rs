//! What the meters count and whom they stop, from the logs of the real daemons.

use std::{process::Command, sync::Arc, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use umail_agent::{config::Config, drivers::Driver, meters::Meters, spool::Spool};
use umail_proto::{
    agent::{Credential, TrafficKind, User},
    clock::Clock,
    functions::Function,
};

use crate::{
    client,
    directory::{self, id, row, user},
    node::{NODE, Node, wait_until},
    single::{ALICE, APP, BOB, arrived, running},
};

/// Meters that run, as one life of the agent has them.
struct Counting {
    spool: Arc<Spool>,
    task: JoinHandle<()>,
}

impl Counting {
    fn start(node: &Node) -> Self {
        std::fs::create_dir_all(node.layout.agent()).unwrap();
        let config = Config { traffic_interval_seconds: 1, ..node.config.clone() };
        let spool = Arc::new(Spool::open(&node.layout, Clock::system()).unwrap());
        let (layout, replica) = (node.layout.clone(), node.replica.clone());
        let meters = Meters::new(layout, &config, Clock::system(), replica, Arc::clone(&spool));
        let run = async move { meters.run(CancellationToken::new()).await };
        Self { spool, task: TaskTracker::new().spawn(run) }
    }

    /// The agent is killed: nothing is written any more.
    async fn kill(self) {
        self.task.abort();
        self.task.await.unwrap_err();
    }

    /// Messages of this kind in all reports that wait.
    fn messages(&self, kind: TrafficKind) -> u64 {
        let reports = self.spool.oldest(500).unwrap();
        let counts = reports.iter().flat_map(|report| &report.counts);
        counts.filter(|count| count.kind() == kind).map(|count| count.messages).sum()
    }

    /// App passwords that all reports that wait say were used, and from where.
    fn app_passwords(&self) -> Vec<(String, String)> {
        let reports = self.spool.oldest(500).unwrap();
        let uses = reports.iter().flat_map(|report| &report.app_password_uses);
        uses.map(|one| (one.credential_id.clone(), one.client_address.clone())).collect()
    }

    /// Waits until the counts of mail are these: received, submitted, sent, stored.
    async fn reach(&self, counts: [u64; 4]) {
        use TrafficKind::{Received, Sent, Stored, Submitted};
        wait_until(&format!("{counts:?} are counted"), || async {
            [Received, Submitted, Sent, Stored].map(|kind| self.messages(kind)) == counts
        })
        .await;
    }
}

#[tokio::test]
async fn the_use_of_app_passwords_is_told_once() {
    let node = running().await;
    let ports = node.config.ports;
    let counting = Counting::start(&node);
    // One that expired, one for another protocol and a wrong one stand before the right ones.
    let scoped = |number, function: Function, expires_at_seconds| {
        let one = directory::app_password(number, 12, &format!("for {number}"));
        row(Credential { functions: function as u64, expires_at_seconds, ..one })
    };
    let rows = vec![
        scoped(41, Function::Submission, 0),
        scoped(42, Function::Imap, 0),
        scoped(43, Function::Submission, 1),
        scoped(44, Function::Submission, 0),
    ];
    directory::change(&node.replica, rows).await;
    client::imap(ports.imap, ALICE, "").ok();
    client::submit(ports.submission, BOB, BOB.0, BOB.0).ok();
    client::imap(ports.imap, (BOB.0, "wrong"), "").refused("AUTHENTICATIONFAILED");
    for _ in 0..2 {
        client::imap(ports.imap, APP, "").ok();
        client::pop3(ports.pop3, (ALICE.0, "another-one"), "").ok();
        client::imap(ports.imap, (BOB.0, "for 42"), "").ok();
        client::submit(ports.submission, (BOB.0, "for 41"), BOB.0, BOB.0).ok();
    }
    let here = |number| (id(number), "127.0.0.1".to_owned());
    let used = [22, 24, 41, 42].map(here);
    wait_until("all four are told", || async {
        let mut told = counting.app_passwords();
        told.sort();
        told == used
    })
    .await;
    client::submit(ports.submission, (BOB.0, "for 44"), BOB.0, BOB.0).ok();
    wait_until("the fifth is told, and the others only once", || async {
        let mut told = counting.app_passwords();
        told.sort();
        told == [&used[..], &[here(44)]].concat()
    })
    .await;
    counting.kill().await;
}

#[tokio::test]
async fn a_queue_that_never_was_is_not_asked() {
    let node = Node::new().await;
    std::fs::create_dir_all(node.layout.agent()).unwrap();
    let spool = Arc::new(Spool::open(&node.layout, Clock::system()).unwrap());
    let (layout, replica) = (node.layout.clone(), node.replica.clone());
    let meters = Meters::new(layout, &node.config, Clock::system(), replica, spool);
    node.postfix.configure(&node.desired).await.unwrap();
    // It says nothing to a log that is not there yet: the one who asks first waits for the log.
    let asking = async {
        while !node.layout.queue().join("pid").join("master.pid").exists() {
            meters.observe().await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::join!(asking, node.start());
    meters.observe().await;
    client::send(node.config.ports.smtp, "x@elsewhere.example", ALICE.0, "n").refused("421 4.3.2");
    assert!(node.log("postfix").contains("daemon started"));
    assert!(!node.log("postfix").contains("postqueue"), "{}", node.log("postfix"));
}

#[tokio::test]
async fn every_message_is_counted_once_over_kills_and_a_rotation() {
    let node = running().await;
    let ports = node.config.ports;
    let counting = Counting::start(&node);
    for number in 0..3 {
        client::send(ports.smtp, "x@elsewhere.example", ALICE.0, &format!("n {number}")).ok();
    }
    client::submit(ports.submission, ALICE, ALICE.0, BOB.0).ok();
    assert_ne!(client::send(ports.smtp, "x@elsewhere.example", "y@other.example", "n").code, 0);
    arrived(&node, ALICE, 3).await;
    arrived(&node, BOB, 1).await;
    counting.reach([3, 1, 4, 4]).await;
    assert_eq!(counting.messages(TrafficKind::Rejected), 1);
    wait_until("the sizes of both mailboxes are told", || async {
        let reports = counting.spool.oldest(500).unwrap();
        let mut last = std::collections::BTreeMap::new();
        for usage in reports.iter().flat_map(|report| &report.usage) {
            last.insert(usage.user_id.clone(), usage.messages);
        }
        last.into_values().collect::<Vec<_>>() == [3, 1]
    })
    .await;
    counting.kill().await;

    // Nobody counts, and the log goes on in another file.
    client::send(ports.smtp, "x@elsewhere.example", ALICE.0, "before the rotation").ok();
    arrived(&node, ALICE, 4).await;
    let log = node.layout.log("postfix");
    std::fs::rename(&log, log.with_file_name("postfix.log.1")).unwrap();
    node.postfix.reload().await.unwrap();
    wait_until("Postfix writes into a new file", || async {
        client::send(ports.smtp, "x@elsewhere.example", "nobody@example.org", "n");
        log.exists()
    })
    .await;
    client::send(ports.smtp, "x@elsewhere.example", ALICE.0, "after the rotation").ok();
    arrived(&node, ALICE, 5).await;
    let counting = Counting::start(&node);
    counting.reach([5, 1, 6, 6]).await;
    counting.kill().await;
    let counting = Counting::start(&node);
    client::send(ports.smtp, "x@elsewhere.example", BOB.0, "the last one").ok();
    counting.reach([6, 1, 7, 7]).await;
    counting.kill().await;
}

#[tokio::test]
async fn who_guesses_a_password_has_to_wait() {
    let node = running().await;
    let ports = node.config.ports;
    let counting = Counting::start(&node);
    for number in 0..6 {
        client::pop3(ports.pop3, (BOB.0, &format!("guess {number}")), "").refused("[AUTH]");
    }
    let pair = format!("pair:{}|127.0.0.1", BOB.0);
    wait_until("the pair is stopped", || async {
        node.replica.throttled().await.unwrap() == [pair.as_str()]
    })
    .await;
    // The agent comes back at once: what is stopped stays so, also for other services.
    counting.kill().await;
    let counting = Counting::start(&node);
    assert_ne!(client::imap(ports.imap, BOB, "").code, 0);
    client::pop3(ports.pop3, ALICE, "").ok();
    wait_until("the stop is over", || async { client::pop3(ports.pop3, BOB, "").code == 0 }).await;
    wait_until("the failures are counted", || async {
        counting.messages(TrafficKind::LoginFailed) >= 6
    })
    .await;
    counting.kill().await;
}

/// Tells the process of the test below that it has a network of its own.
const OWN_NETWORK: &str = "UMAIL_TEST_OWN_NETWORK";

/// Runs a program that must succeed.
fn ip(arguments: &[&str]) {
    assert!(Command::new("ip").args(arguments).status().unwrap().success(), "ip {arguments:?}");
}

#[tokio::test]
async fn who_guesses_from_many_addresses_of_one_ipv6_network_has_to_wait() {
    if std::env::var_os(OWN_NETWORK).is_none() {
        let name = "counting::who_guesses_from_many_addresses_of_one_ipv6_network_has_to_wait";
        let mut own = Command::new("unshare");
        own.arg("--net").arg(std::env::current_exe().unwrap()).args(["--exact", name]);
        assert!(own.arg("--nocapture").env(OWN_NETWORK, "yes").status().unwrap().success());
        return;
    }
    ip(&["link", "set", "lo", "up"]);
    for address in ["1::1", "1::2", "1::3", "2::1"] {
        ip(&["addr", "add", &format!("fd00:0:0:{address}/64"), "dev", "lo", "nodad"]);
    }
    let node = running().await;
    let ports = node.config.ports;
    let counting = Counting::start(&node);
    let from = |scheme: &str, port: u16, client: &str, password: &str| {
        let url = format!("{scheme}://[fd00:0:0:1::1]:{port}");
        let client = format!("fd00:0:0:{client}");
        client::curl(&url, (BOB.0, password), &["-6", "--ssl-reqd", "--interface", &client])
    };
    for number in 0..6 {
        let client = ["1::1", "1::2"][number % 2];
        from("pop3", ports.pop3, client, "a guess").refused("[AUTH]");
    }
    let pair = format!("pair:{}|fd00:0:0:1::/64", BOB.0);
    wait_until("the network is stopped", || async {
        node.replica.throttled().await.unwrap() == [pair.as_str()]
    })
    .await;
    counting.kill().await;
    let later = Clock::system().now().unix_timestamp() + 600;
    node.replica.throttle(&pair, later).await.unwrap();
    from("imap", ports.imap, "1::3", BOB.1).refused("AUTHENTICATIONFAILED");
    from("smtp", ports.submission, "1::3", BOB.1).refused("535 5.7.8");
    from("imap", ports.imap, "2::1", BOB.1).ok();
    assert!(from("smtp", ports.submission, "2::1", BOB.1).text.contains("235 2.7.0"));
    client::imap(ports.imap, BOB, "").ok();
    node.replica.throttle(&pair, 0).await.unwrap();
    node.replica.throttle("addr:fd00:0:0:1::/64", later).await.unwrap();
    from("pop3", ports.pop3, "1::3", BOB.1).refused("[AUTH]");
    from("pop3", ports.pop3, "2::1", BOB.1).ok();
}

/// What does not fit is told by Dovecot when Postfix has taken it already. What comes next is not
/// even taken, for a while.
#[tokio::test(flavor = "multi_thread")]
async fn mail_for_a_full_mailbox_is_not_taken() {
    let node = running().await;
    let port = node.config.ports.smtp;
    let counting = Counting::start(&node);
    let alice = |bytes| {
        let user = user(11, "alice", &id(NODE));
        row(User { quota_bytes: bytes, quota_unlimited: false, ..user })
    };
    directory::change(&node.replica, vec![alice(90_000)]).await;
    // One that is too large for what is left says nothing of others.
    client::swaks(port, BOB.0, ALICE.0, &["--body", &"x ".repeat(60_000)]).ok();
    wait_until("it is refused", || async { node.log("postfix").contains("dsn=5.2.2") }).await;
    counting.reach([1, 0, 1, 1]).await;
    client::send(port, "x@elsewhere.example", ALICE.0, "fits").ok();
    arrived(&node, ALICE, 1).await;

    directory::change(&node.replica, vec![alice(100)]).await;
    client::send(port, "x@elsewhere.example", ALICE.0, "does not fit").ok();
    let refused = || client::send(port, "x@elsewhere.example", ALICE.0, "again").text;
    wait_until("further mail is refused", || async { refused().contains("452 4.2.2") }).await;
    client::submit(node.config.ports.submission, BOB, BOB.0, ALICE.0).refused("452 4.2.2");
    client::send(port, "x@elsewhere.example", BOB.0, "to others").ok();

    // It heals by itself.
    directory::change(&node.replica, vec![alice(90_000)]).await;
    node.replica.full(ALICE.0, 1).await.unwrap();
    client::send(port, "x@elsewhere.example", ALICE.0, "fits again").ok();
    arrived(&node, ALICE, 2).await;
    counting.kill().await;
}

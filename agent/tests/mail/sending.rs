//! What users may send: limits of plans and users, with Postfix asking and with nobody answering.

use std::{
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use time::OffsetDateTime;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use umail_agent::{layout::Layout, ledger::Ledger, replica::Replica, sending::Sending};
use umail_proto::{
    agent::{Alias, Domain, DomainAlias, Plan, Role, SendingLimits, User},
    clock::Clock,
    functions::Function,
};

use crate::{
    client::{self, Answer},
    directory::{self, ALL, alias, domain, id, row, user},
    node::{NODE, Node, peer, wait_until},
    outage::assert_no_fatal,
    single::{ALICE, BOB, arrived, running},
};

const OUTSIDE: &str = "x@elsewhere.example";
const CAROL: (&str, &str) = ("carol@example.net", "carol's");

/// The agent's part that answers Postfix, in this process.
pub(crate) struct Policy {
    stop: CancellationToken,
    running: TaskTracker,
}

impl Policy {
    pub(crate) async fn start(node: &Node) -> Self {
        Self::start_at(node, Clock::system()).await
    }

    async fn start_at(node: &Node, clock: Clock) -> Self {
        let sending = Arc::new(Sending::new(node.layout.clone(), clock, ledger(node)));
        let (stop, running) = (CancellationToken::new(), TaskTracker::new());
        running.spawn(sending.serve(stop.clone()));
        answers(&node.layout).await;
        Self { stop, running }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.running.close();
        self.running.wait().await;
    }
}

fn ledger(node: &Node) -> Arc<Ledger> {
    std::fs::create_dir_all(node.layout.agent()).unwrap();
    let ledger = Ledger::open(&node.layout, &node.desired.node_id).unwrap();
    ledger.accept(node.desired.clone()).unwrap();
    Arc::new(ledger)
}

async fn answers(layout: &Layout) {
    let socket = layout.sending_socket();
    wait_until("somebody answers Postfix", async || UnixStream::connect(&socket).await.is_ok())
        .await;
}

/// A plan with these limits.
fn plan(sending: SendingLimits) -> Plan {
    Plan {
        id: id(41),
        functions: ALL,
        quota_bytes: 0,
        quota_unlimited: true,
        sending: Some(sending),
    }
}

/// Alice, with this plan and limits of her own.
fn alice(sending: Option<SendingLimits>) -> User {
    User { plan_id: id(41), sending, ..user(11, "alice", &id(NODE)) }
}

/// Sends a message of this size to these recipients; the client says the size before, or does not.
fn submit(node: &Node, to: &[&str], bytes: usize, says_size: bool) -> Answer {
    let message = tempfile::NamedTempFile::new().unwrap();
    let mut text = format!("From: <{}>\r\nSubject: submitted\r\n\r\n", ALICE.0);
    let lines = bytes.saturating_sub(text.len()) / 70;
    text += &format!("{}\r\n", "x".repeat(68)).repeat(lines);
    std::fs::write(message.path(), text).unwrap();
    let url = format!("smtp://127.0.0.1:{}/client.example", node.config.ports.submission);
    let login = format!("{}:{}", ALICE.0, ALICE.1);
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-v", "-k", "-4", "-m", "20", "-u", &login, &url, "--ssl-reqd"]);
    curl.args(["--mail-from", ALICE.0]).args(to.iter().flat_map(|to| ["--mail-rcpt", to]));
    if says_size {
        curl.arg("-T").arg(message.path());
    } else {
        curl.args(["-T", "-"]).stdin(message.reopen().unwrap());
    }
    let output = curl.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    Answer { code: output.status.code().unwrap_or(-1), text }
}

fn submit_to(node: &Node, to: &str) -> Answer {
    submit(node, &[to], 0, true)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_sends_so_many_messages_and_no_more() {
    let node = running().await;
    let policy = Policy::start(&node).await;
    let limits = SendingLimits { messages_per_hour: Some(2), ..SendingLimits::default() };
    directory::change(&node.replica, vec![row(plan(limits)), row(alice(None))]).await;
    submit_to(&node, BOB.0).ok();
    submit(&node, &[BOB.0, ALICE.0], 0, true).ok();
    submit_to(&node, BOB.0).refused("450 4.7.1");
    submit_to(&node, BOB.0)
        .refused("Your limit of 2 messages per hour is reached, try again after");
    // Whom the plan is not given to has no limit; a limit of one's own is narrower.
    for _ in 0..3 {
        client::submit(node.config.ports.submission, BOB, BOB.0, BOB.0).ok();
    }
    let more = SendingLimits { messages_per_hour: Some(9), ..limits };
    directory::change(&node.replica, vec![row(plan(more))]).await;
    submit_to(&node, BOB.0).ok();
    let own = SendingLimits { messages_per_day: Some(3), ..SendingLimits::default() };
    directory::change(&node.replica, vec![row(alice(Some(own)))]).await;
    submit_to(&node, BOB.0).refused("limit of 3 messages per day");
    arrived(&node, BOB, 6).await;
    arrived(&node, ALICE, 1).await;
    policy.stop().await;
    assert_no_fatal(&node);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_writes_to_so_many_recipients_and_no_more() {
    let node = running().await;
    let policy = Policy::start(&node).await;
    let limits = SendingLimits { recipients_per_day: Some(3), ..SendingLimits::default() };
    directory::change(&node.replica, vec![row(plan(limits)), row(alice(None))]).await;
    let four = ["a@elsewhere.example", "b@elsewhere.example", ALICE.0, BOB.0];
    submit(&node, &four, 0, true).refused("550 5.5.3");
    submit(&node, &[ALICE.0, BOB.0], 0, true).ok();
    submit(&node, &[ALICE.0, BOB.0], 0, true).refused("limit of 3 recipients per day");
    submit_to(&node, BOB.0).ok();
    submit_to(&node, BOB.0).refused("450 4.7.1");
    policy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_no_larger_than_the_user_may_send() {
    let node = running().await;
    let policy = Policy::start(&node).await;
    let limits = SendingLimits { message_size_bytes: Some(20_000), ..SendingLimits::default() };
    directory::change(&node.replica, vec![row(plan(limits)), row(alice(None))]).await;
    for says_size in [true, false] {
        submit(&node, &[BOB.0], 10_000, says_size).ok();
        let refused = submit(&node, &[BOB.0], 40_000, says_size);
        // A client that has said it is told before it sends the message.
        let stage = if says_size { "Data command rejected" } else { "End-of-data rejected" };
        assert!(refused.text.contains(stage), "{}", refused.text);
        refused.refused("552 5.3.4");
    }
    let own = SendingLimits { message_size_bytes: Some(5_000), ..SendingLimits::default() };
    directory::change(&node.replica, vec![row(alice(Some(own)))]).await;
    submit(&node, &[BOB.0], 10_000, true).refused("yours may have 5000 at most");
    arrived(&node, BOB, 2).await;
    policy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_is_over_after_its_window() {
    let node = running().await;
    let clock = Clock::manual(OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    let policy = Policy::start_at(&node, clock.clone()).await;
    let limits = SendingLimits {
        messages_per_hour: Some(1),
        messages_per_day: Some(2),
        ..SendingLimits::default()
    };
    directory::change(&node.replica, vec![row(plan(limits)), row(alice(None))]).await;
    submit_to(&node, BOB.0).ok();
    clock.advance(time::Duration::minutes(59));
    submit_to(&node, BOB.0).refused("limit of 1 messages per hour");
    clock.advance(time::Duration::minutes(7));
    submit_to(&node, BOB.0).ok();
    clock.advance(time::Duration::minutes(66));
    submit_to(&node, BOB.0).refused("limit of 2 messages per day");
    clock.advance(time::Duration::hours(25));
    submit_to(&node, BOB.0).ok();
    policy.stop().await;
}

/// Run by [`no_message_waits_for_the_agent`] as a process of its own; by itself it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_to_be_stopped() {
    let Some(root) = std::env::var_os("UMAIL_TEST_POLICY") else { return };
    let layout = Layout::new(root);
    let ledger = Arc::new(Ledger::open(&layout, &id(NODE)).unwrap());
    let sending = Arc::new(Sending::new(layout, Clock::system(), ledger));
    sending.serve(CancellationToken::new()).await;
}

async fn process(node: &Node) -> Child {
    let policy = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sending::a_policy_to_be_stopped"])
        .env("UMAIL_TEST_POLICY", node.layout.root())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    answers(&node.layout).await;
    policy
}

#[tokio::test]
async fn no_message_waits_for_the_agent() {
    let node = running().await;
    let limits = SendingLimits { messages_per_hour: Some(1), ..SendingLimits::default() };
    directory::change(&node.replica, vec![row(plan(limits)), row(alice(None))]).await;
    drop(ledger(&node));
    let mut policy = process(&node).await;
    let signal = |policy: &Child, signal| {
        kill(Pid::from_raw(policy.id().cast_signed()), signal).unwrap();
    };
    submit_to(&node, BOB.0).ok();
    submit_to(&node, BOB.0).refused("450 4.7.1");

    // It hangs.
    signal(&policy, Signal::SIGSTOP);
    let begun = Instant::now();
    submit_to(&node, BOB.0).ok();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    signal(&policy, Signal::SIGCONT);
    submit_to(&node, BOB.0).refused("450 4.7.1");

    // It is gone, and its socket is still there.
    policy.kill().unwrap();
    policy.wait().unwrap();
    let begun = Instant::now();
    submit_to(&node, BOB.0).ok();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    std::fs::remove_file(node.layout.sending_socket()).unwrap();
    submit_to(&node, BOB.0).ok();

    // The next one goes on counting where it was killed.
    let mut policy = process(&node).await;
    submit_to(&node, BOB.0).refused("Your limit of 1 messages per hour is reached");
    policy.kill().unwrap();
    policy.wait().unwrap();
    arrived(&node, BOB, 4).await;
    assert_no_fatal(&node);
}

/// Asks as Postfix does, at the end of a message.
async fn ask(layout: &Layout, recipients: u32) -> String {
    let mut stream = UnixStream::connect(layout.sending_socket()).await.unwrap();
    let request = format!(
        "request=smtpd_access_policy\nprotocol_state=END-OF-MESSAGE\nsasl_username={}\n\
         recipient_count={recipients}\nsize=1000\n\n",
        ALICE.0
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_together_let_through_twice_the_limit_at_most() {
    const LIMIT: u64 = 30;
    for count in [1_u128, 2, 3, 5] {
        let mut nodes = Vec::new();
        for number in 0..count {
            let mut node = Node::new().await;
            let others = (0..count).filter(|other| *other != number);
            let others =
                others.map(|other| peer(0xb0 + other, "other", "127.0.0.2", &[Role::Smtp]));
            node.desired.peers = others.collect();
            let storage = peer(0xc0, "storage", "127.0.0.3", &[Role::Storage, Role::Pop]);
            node.desired.peers.push(storage);
            let limits =
                SendingLimits { messages_per_hour: Some(LIMIT), ..SendingLimits::default() };
            let rows = vec![row(domain(1, "example.org")), row(plan(limits)), row(alice(None))];
            directory::fill(&node.replica, rows).await;
            let policy = Policy::start(&node).await;
            nodes.push((node, policy));
        }
        let mut through = 0;
        for (node, _policy) in &nodes {
            while ask(&node.layout, 1).await == "action=DUNNO\n\n" {
                through += 1;
                assert!(through <= LIMIT * 2, "{count} nodes let more through");
            }
        }
        assert!(through >= LIMIT, "{count} nodes let {through} through");
        for (_node, policy) in nodes {
            policy.stop().await;
        }
    }
}

/// Two domains, the first of them with a second name, and a group that leads outside.
async fn with_other_domain(node: &Node) {
    let second = DomainAlias { id: id(51), name: "example.com".into(), domain_id: id(1) };
    let carol = User { domain_id: id(2), ..user(13, "carol", &id(NODE)) };
    let rows = vec![
        row(second),
        row(domain(2, "example.net")),
        row(carol),
        row(directory::password(25, 13, CAROL.1)),
        row(alias(31, "group", &["bob@example.org", OUTSIDE])),
        row(alias(32, "nested", &["group@example.org"])),
        row(alias(33, "team", &["bob@example.org", "alice@example.org"])),
    ];
    directory::change(&node.replica, rows).await;
}

fn without(function: Function) -> User {
    User { functions: ALL & !(function as u64), ..user(11, "alice", &id(NODE)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_send_outside_writes_to_the_own_domain_only() {
    let node = running().await;
    with_other_domain(&node).await;
    let forwarding = Alias { keep_copy: true, ..alias(34, "bob", &[OUTSIDE]) };
    let rows = vec![row(without(Function::ExternalSend)), row(forwarding)];
    directory::change(&node.replica, rows).await;
    let policy = Policy::start(&node).await;
    for inside in [BOB.0, "Bob+tag@Example.ORG", "bob@example.com", "team@example.org"] {
        submit_to(&node, inside).ok();
    }
    submit_to(&node, OUTSIDE).refused("554 5.7.1");
    submit_to(&node, CAROL.0).refused("You may write to your own domain only");
    for group in ["group@example.org", "nested@example.org", "group+tag@example.com"] {
        submit_to(&node, group).refused("The address leads outside");
    }
    // Others do.
    let port = node.config.ports.submission;
    client::submit(port, BOB, BOB.0, CAROL.0).ok();
    client::submit(port, BOB, BOB.0, "group@example.org").ok();
    let to_outside = Domain { catch_all: OUTSIDE.into(), ..domain(1, "example.org") };
    directory::change(&node.replica, vec![row(to_outside)]).await;
    submit_to(&node, "anything@example.org").refused("The address leads outside");
    submit_to(&node, "bob+tag@example.org").ok();
    policy.stop().await;

    // Without the agent nothing goes out of the fleet all the same.
    submit_to(&node, "bob+tag@example.org").ok();
    submit_to(&node, "anything@example.org").refused("The address leads outside");
    submit_to(&node, OUTSIDE).refused("554 5.7.1");
    submit_to(&node, "group@example.org").refused("The address leads outside");
    submit_to(&node, CAROL.0).ok();
    assert_no_fatal(&node);
}

#[tokio::test]
async fn who_may_not_send_outside_has_nothing_forwarded_there() {
    let node = running().await;
    let port = node.config.ports.smtp;
    let forwarding = |keep_copy| Alias { keep_copy, ..alias(31, "alice", &[OUTSIDE, BOB.0]) };
    directory::change(&node.replica, vec![row(forwarding(false))]).await;
    assert_eq!(node.postmap("aliases", ALICE.0).0, "bob@example.org,x@elsewhere.example");
    directory::change(&node.replica, vec![row(without(Function::ExternalSend))]).await;
    assert_eq!(node.postmap("aliases", ALICE.0).0, BOB.0, "inside it goes on");
    directory::change(&node.replica, vec![row(alias(31, "alice", &[OUTSIDE]))]).await;
    client::send(port, OUTSIDE, ALICE.0, "stays").ok();
    arrived(&node, ALICE, 1).await;

    // Of a domain: its aliases, groups and its catch-all as well.
    let group = alias(32, "group", &[OUTSIDE, BOB.0]);
    let outward = alias(33, "outward", &[OUTSIDE]);
    let functions = ALL & !(Function::ExternalSend as u64);
    let narrow = Domain { functions, catch_all: OUTSIDE.into(), ..domain(1, "example.org") };
    directory::change(&node.replica, vec![row(group), row(outward)]).await;
    client::send(port, OUTSIDE, "outward@example.org", "?").ok();
    directory::change(&node.replica, vec![row(narrow)]).await;
    assert_eq!(node.postmap("aliases", "group@example.org").0, BOB.0);
    client::send(port, OUTSIDE, "outward@example.org", "?").refused("550 5.7.1");
    client::send(port, OUTSIDE, "anything@example.org", "?").refused("550 5.1.1");
    client::send(port, OUTSIDE, "group@example.org", "inside").ok();
    arrived(&node, BOB, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_from_outside_is_written_to_from_inside() {
    let node = running().await;
    with_other_domain(&node).await;
    let own = Alias { user_id: id(11), ..alias(35, "a.smith", &[ALICE.0]) };
    let rows = vec![row(without(Function::ExternalReceive)), row(own)];
    directory::change(&node.replica, rows).await;
    let policy = Policy::start(&node).await;
    let (smtp, submission) = (node.config.ports.smtp, node.config.ports.submission);
    for name in [ALICE.0, "alice+tag@example.org", "alice@example.com", "a.smith@example.org"] {
        client::send(smtp, OUTSIDE, name, "?").refused("550 5.7.1");
        // Whoever only says that he is inside is not.
        client::send(smtp, BOB.0, name, "?").refused("550 5.7.1");
        client::submit(submission, CAROL, CAROL.0, name).refused("550 5.7.1");
        client::submit(submission, BOB, BOB.0, name).ok();
    }
    let falls_to_her = Domain { catch_all: ALICE.0.into(), ..domain(1, "example.org") };
    directory::change(&node.replica, vec![row(falls_to_her)]).await;
    client::send(smtp, OUTSIDE, "anything@example.com", "?").refused("550 5.7.1");
    client::send(smtp, OUTSIDE, "bob+tag@example.org", "to bob").ok();
    client::submit(submission, BOB, BOB.0, "anything@example.org").ok();
    // A group takes mail for others.
    client::send(smtp, OUTSIDE, "team@example.org", "to all").ok();
    arrived(&node, ALICE, 6).await;
    policy.stop().await;
    // Without the agent those who have signed in are inside, and nobody else.
    client::send(smtp, OUTSIDE, ALICE.0, "?").refused("550 5.7.1");
    client::submit(submission, BOB, BOB.0, ALICE.0).ok();
    arrived(&node, ALICE, 7).await;
    assert_no_fatal(&node);
}

/// A snapshot takes its time; whoever asks meanwhile sees what was there before.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_does_not_wait_for_who_writes_the_replica() {
    let node = running().await;
    let limits = SendingLimits { messages_per_hour: Some(1), ..SendingLimits::default() };
    directory::change(&node.replica, vec![row(plan(limits)), row(alice(None))]).await;
    let policy = Policy::start(&node).await;
    assert_eq!(ask(&node.layout, 1).await, "action=DUNNO\n\n");
    let writer: Replica = node.replica.clone();
    let busy = async {
        for number in 0..50 {
            let rows =
                (0..200).map(|one| row(user(1_000 + one, &format!("u{number}-{one}"), &id(NODE))));
            directory::change(&writer, rows.collect()).await;
        }
    };
    let asking = async {
        let mut longest = Duration::ZERO;
        for _ in 0..200 {
            let begun = Instant::now();
            assert!(ask(&node.layout, 1).await.starts_with("action=450 4.7.1"));
            longest = longest.max(begun.elapsed());
        }
        longest
    };
    let ((), longest) = tokio::join!(busy, asking);
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    policy.stop().await;
}

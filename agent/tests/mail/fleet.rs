//! Several nodes: one smtp, one pop, two storage, each with its own replica.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use umail_agent::replica::Replica;
use umail_proto::agent::{DirectoryRow, Role};

use crate::{
    client,
    directory::{self, domain, id, password, row, storage, user},
    node::{Authority, Node, Place, free_ports, peer, wait_at_most, wait_until},
};

pub(crate) const ALICE: (&str, &str) = ("alice@example.org", "correct horse");
const OUTSIDE: &str = "x@elsewhere.example";
const FIRST: u128 = 0xb1;
const SECOND: u128 = 0xb2;

pub(crate) struct Fleet {
    pub(crate) smtp: Node,
    pub(crate) pop: Node,
    pub(crate) first: Node,
    second: Node,
}

impl Fleet {
    /// A running fleet; alice's mailbox is on the first storage node.
    pub(crate) async fn new() -> Self {
        let authority = Authority::new();
        let ports = free_ports();
        // Every test has addresses of its own: they share the machine.
        let net = u8::try_from(std::process::id() % 250).unwrap() + 1;
        let place = |number: u128, name, last: u8, role| Place {
            number,
            name,
            address: IpAddr::from([127, 10, net, last]),
            roles: vec![role],
        };
        let places = [
            place(0xa1, "smtp-1", 1, Role::Smtp),
            place(0xa2, "pop-1", 2, Role::Pop),
            place(FIRST, "storage-1", 3, Role::Storage),
            place(SECOND, "storage-2", 4, Role::Storage),
        ];
        let mut nodes = Vec::new();
        for place in &places {
            let mut node = Node::at(place, &authority, ports, vec![place.address]).await;
            node.desired.peers = places
                .iter()
                .filter(|other| other.number != place.number)
                .map(|other| {
                    peer(other.number, other.name, &other.address.to_string(), &other.roles)
                })
                .collect();
            let rows = Self::rows(&places, FIRST);
            directory::fill(&node.replica, rows).await;
            node.start().await;
            nodes.push(node);
        }
        let second = nodes.pop().unwrap();
        let first = nodes.pop().unwrap();
        let pop = nodes.pop().unwrap();
        let smtp = nodes.pop().unwrap();
        Self { smtp, pop, first, second }
    }

    fn rows(places: &[Place], at: u128) -> Vec<DirectoryRow> {
        let mut rows = vec![
            row(domain(1, "example.org")),
            row(user(11, "alice", &id(at))),
            row(password(21, 11, ALICE.1)),
        ];
        for place in places.iter().filter(|place| place.roles.contains(&Role::Storage)) {
            rows.push(row(storage(&id(place.number), place.name, &place.address.to_string())));
        }
        rows
    }

    fn replicas(&self) -> [&Replica; 4] {
        [&self.smtp.replica, &self.pop.replica, &self.first.replica, &self.second.replica]
    }
}

pub(crate) fn at(node: &Node, port: u16) -> SocketAddr {
    (node.config.address, port).into()
}

fn messages(node: &Node) -> usize {
    let answer = client::read("pop3", at(node, node.config.ports.pop3), ALICE, "");
    let is_listed = |line: &&str| line.split(' ').all(|word| word.parse::<u64>().is_ok());
    answer.text.lines().filter(is_listed).count()
}

fn send(node: &Node, subject: &str) -> client::Answer {
    let subject = format!("Subject: {subject}");
    client::swaks_at(at(node, node.config.ports.smtp), OUTSIDE, ALICE.0, &["--header", &subject])
}

/// Messages that lie in the folder of alice's mailbox on this node.
fn on_disk(node: &Node) -> usize {
    let folder = node.layout.mail().join(id(11)).join("mail/mailboxes/INBOX/dbox-Mails");
    std::fs::read_dir(folder).map_or(0, |entries| {
        let is_mail =
            |name: &std::ffi::OsString| name.to_str().is_some_and(|name| name.starts_with("u."));
        entries.filter(|entry| is_mail(&entry.as_ref().unwrap().file_name())).count()
    })
}

#[tokio::test]
async fn mail_passes_through_the_roles() {
    let fleet = Fleet::new().await;
    send(&fleet.smtp, "one").ok();
    wait_until("it is read through the pop node", || async { messages(&fleet.pop) == 1 }).await;
    assert_eq!((on_disk(&fleet.first), on_disk(&fleet.second)), (1, 0));
    let imap = at(&fleet.pop, fleet.pop.config.ports.imap);
    assert!(client::read("imap", imap, ALICE, "INBOX;UID=1").ok().contains("Subject: one"));
    client::read("imap", imap, (ALICE.0, "wrong"), "").refused("AUTHENTICATIONFAILED");
}

#[tokio::test]
async fn the_wrong_storage_node_forwards() {
    let fleet = Fleet::new().await;
    // The smtp and the pop node are behind: they still believe in the first node.
    for replica in [&fleet.first.replica, &fleet.second.replica] {
        directory::change(replica, vec![row(user(11, "alice", &id(SECOND)))]).await;
    }
    send(&fleet.smtp, "forwarded").ok();
    wait_until("it is on the second node", || async { on_disk(&fleet.second) == 1 }).await;
    assert_eq!(on_disk(&fleet.first), 0);
    assert_eq!(messages(&fleet.pop), 1, "POP3 by way of the first node");
    let imap = at(&fleet.pop, fleet.pop.config.ports.imap);
    client::read("imap", imap, ALICE, "INBOX;UID=1").ok();
}

#[tokio::test]
async fn a_frozen_mailbox_makes_mail_wait_and_nothing_is_lost() {
    let fleet = Fleet::new().await;
    fleet.first.replica.freeze(&id(11), &id(99)).await.unwrap();
    // Only the source knows: the smtp node accepts, and the mail waits in its queue.
    send(&fleet.smtp, "waits").ok();
    wait_until("the delivery was tried", || async {
        fleet.smtp.log("postfix").contains("status=deferred")
    })
    .await;
    assert_eq!(on_disk(&fleet.first), 0);
    let log = fleet.smtp.log("postfix");
    assert!(log.contains("451 4.3.0") && !log.contains("bounced"), "{log}");
    let answer = client::read("imap", at(&fleet.pop, fleet.pop.config.ports.imap), ALICE, "");
    assert_ne!(answer.code, 0, "{}", answer.text);
    fleet.first.replica.unfreeze(&id(11), &id(99)).await.unwrap();
    wait_until("it was delivered", || async {
        flush(&fleet.smtp).await;
        on_disk(&fleet.first) == 1
    })
    .await;
}

#[tokio::test]
async fn a_dead_or_false_storage_node_makes_mail_wait() {
    use umail_agent::drivers::Driver;
    let mut fleet = Fleet::new().await;
    fleet.first.dovecot.stop().await.unwrap();
    send(&fleet.smtp, "waits").ok();
    wait_until("the delivery was tried", || async {
        fleet.smtp.log("postfix").contains("Connection refused")
    })
    .await;
    let answer = client::read("pop3", at(&fleet.pop, fleet.pop.config.ports.pop3), ALICE, "");
    answer.refused("[SYS/TEMP]");
    // At its address, under a certificate of another authority: nobody talks to it.
    let honest = fleet.first.desired.mail_tls.clone();
    let stranger = Authority::new().issue("storage-1", fleet.first.config.address);
    let roots_pem = honest.clone().unwrap().roots_pem;
    fleet.first.desired.mail_tls = Some(umail_proto::agent::MailTls { roots_pem, ..stranger });
    fleet.first.start().await;
    wait_until("the certificate was refused", || async {
        flush(&fleet.smtp).await;
        fleet.smtp.log("postfix").contains("Server certificate not ")
    })
    .await;
    let answer = client::read("imap", at(&fleet.pop, fleet.pop.config.ports.imap), ALICE, "");
    assert_ne!(answer.code, 0, "{}", answer.text);
    assert_eq!(on_disk(&fleet.first), 0);
    fleet.first.desired.mail_tls = honest;
    fleet.first.bring().await.unwrap();
    wait_until("it was delivered", || async {
        flush(&fleet.smtp).await;
        on_disk(&fleet.first) == 1
    })
    .await;
}

#[tokio::test]
async fn a_user_without_a_storage_node_waits() {
    let fleet = Fleet::new().await;
    for replica in fleet.replicas() {
        directory::change(replica, vec![row(user(11, "alice", ""))]).await;
    }
    send(&fleet.smtp, "waits").ok();
    let answer = client::read("imap", at(&fleet.pop, fleet.pop.config.ports.imap), ALICE, "");
    answer.refused("no storage node yet");
    for replica in fleet.replicas() {
        directory::change(replica, vec![row(user(11, "alice", &id(SECOND)))]).await;
    }
    // The queue manager remembers for 30 seconds where an address led.
    let deliver = || async {
        flush(&fleet.smtp).await;
        on_disk(&fleet.second) == 1
    };
    wait_at_most(Duration::from_mins(1), "it was delivered", deliver).await;
}

async fn flush(node: &Node) {
    umail_agent::drivers::postfix::queue::flush(&node.layout).await.unwrap();
}

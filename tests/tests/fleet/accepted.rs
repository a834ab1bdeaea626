//! What the server takes the nodes take. A row that an agent refuses stops its whole directory, so
//! one value that only the server likes would stop every node for everybody.

use std::{path::Path, process::Command};

use time::OffsetDateTime;
use umail_agent::{layout::Layout, replica::Replica};
use umail_api::model::{
    self,
    address::{DomainName, EmailAddress, LocalPart},
    hash::Hash,
    node,
};
use umail_api_types::autoreply;
use umail_proto::agent::{
    Alias, Autoreply, Credential, Delta, DirectoryRow, Domain, SnapshotBegin, SnapshotEnd,
    StorageNode, User, directory_row::Row,
};
use umail_tests::random::Random;
use uuid::Uuid;

/// Strings that are made of each kind of parts.
const TRIES: usize = 4_000;

/// Parts of names and addresses, the good ones often enough.
const OF_NAMES: &[&str] = &[
    "a",
    "ada",
    "example",
    "org",
    ".",
    ".",
    "-",
    "_",
    "@",
    "+",
    "xn--",
    "ü",
    "ß",
    "İ",
    "ſ",
    "\u{200d}",
    "A",
    "1",
    "127",
    "'",
    "\"",
    " ",
    "%",
    "!",
    "=",
    "{",
    "|",
    "~",
    "`",
    "/",
    "\\",
    "\0",
    "\u{202e}",
    "xn--mnchen-3ya",
    "。",
    "looooooooooooooooooooooooooooooooooooooong",
    "?",
    "^",
    "#",
    "$",
    "&",
    "*",
    "\n",
    "\r\n",
    "\t",
    "\u{85}",
];

/// Parts of hashes.
const OF_HASHES: &[&str] = &[
    "{ARGON2ID}",
    "{argon2id}",
    "{BLF-CRYPT}",
    "{SHA512-CRYPT}",
    "{PBKDF2}",
    "{CRYPT}",
    "{PLAIN}",
    "{SSHA512}",
    "$argon2id$v=19$m=65536,t=3,p=1$z3uhiNCJ1r9ggjZp8hXVAA$EpJMR5CZvYJAYa+f7T2HeIAT4S5UP4EbGDVxE8y1Bt8",
    "$2y$05$CPqzfH8LZ/5ex72/bd2J0.s5.iO1TZaXKroro.Z.z47CxyaatfdXO",
    "$2a$12$",
    "$1$",
    "$6$",
    "$6$Gaywqj1TcuX59aA8$8g9lPadl14NJSS4bmGizCH18uTLHjZF3V5xSqZE5JlgOrlEdBWD9KiH9VIVNEjJGDiZ5w6GRN4wkote69WuBJ.",
    "$6$rounds=9000$",
    "$1$Z7tbTjOAYukDjdG2$5000$090d46cc16a0dd73569ee692acc6eb2031e816ac",
    "'",
    " ",
    "\0",
    "x",
    "",
];

fn text(random: &mut Random, parts: &[&str]) -> String {
    (0..=random.below(6)).map(|_place| random.pick(parts)).collect()
}

/// The rows that the server would send of what it takes of a text.
fn rows(random: &mut Random) -> Vec<Row> {
    let id = || Uuid::new_v4().to_string();
    let name = text(random, OF_NAMES);
    let domain = |name| Row::Domain(Domain { id: id(), name, ..Domain::default() });
    let mut rows = Vec::new();
    if let Ok(name) = DomainName::parse_hosted(&format!("{name}.org")) {
        rows.push(domain(name.to_string()));
    }
    if let Ok(local_part) = LocalPart::parse(&name) {
        let local_part = local_part.as_str().to_owned();
        let domain_id = id();
        rows.push(Row::User(User { id: id(), domain_id, local_part, ..User::default() }));
    }
    if let Ok(address) = EmailAddress::parse(&format!("{name}@{}.org", text(random, OF_NAMES))) {
        let targets = vec![address.to_string()];
        let local_part = "info".to_owned();
        let (id, domain_id) = (id(), Uuid::new_v4().to_string());
        rows.push(Row::Alias(Alias { id, domain_id, local_part, targets, ..Alias::default() }));
    }
    if let Ok(name) = node::parse_name(&name) {
        let address = "10.0.0.1".to_owned();
        rows.push(Row::StorageNode(StorageNode { id: id(), name, address }));
    }
    if let Ok(hash) = Hash::parse(&text(random, OF_HASHES)) {
        let (id, user_id) = (id(), id());
        let hash = hash.canonical();
        rows.push(Row::Credential(Credential { id, user_id, hash, ..Credential::default() }));
    }
    let body = autoreply::Autoreply {
        enabled: true,
        subject: text(random, OF_NAMES),
        text: text(random, OF_NAMES).repeat(1 + random.below(60)),
        starts_at: None,
        ends_at: None,
    };
    let none = model::autoreply::Autoreply::none(Uuid::new_v4().into());
    if let Ok(reply) = none.changed(&body, OffsetDateTime::UNIX_EPOCH) {
        let (user_id, subject, text) = (reply.user_id.to_string(), reply.subject, reply.text);
        rows.push(Row::Autoreply(Autoreply { user_id, subject, text, ..Autoreply::default() }));
    }
    rows
}

/// How many rows a file of the replica has; what an agent cannot read it leaves out.
fn count(file: &Path, table: &str) -> usize {
    let mut sqlite = Command::new("sqlite3");
    let output = sqlite.arg(file).arg(format!("SELECT count(*) FROM {table}")).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn nodes_take_every_name_address_hash_and_text_that_the_server_takes() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::new(folder.path());
    let replica = Replica::open(&layout).await.unwrap();
    let begin = SnapshotBegin { epoch: "one".to_owned(), version: 0 };
    let writer = replica.begin_snapshot(&begin).unwrap();
    writer.finish(&SnapshotEnd { rows: 0 }).await.unwrap();
    let (mut random, mut taken) = (Random::new(7), [0_usize; 6]);
    let all: Vec<_> = (0..TRIES).flat_map(|_try| rows(&mut random)).collect();
    for (row, from_version) in all.into_iter().zip(0..) {
        let kind = match row {
            Row::Domain(_) => 0,
            Row::User(_) => 1,
            Row::Alias(_) => 2,
            Row::StorageNode(_) => 3,
            Row::Autoreply(_) => 5,
            _ => 4,
        };
        taken[kind] += 1;
        let upserts = vec![DirectoryRow { row: Some(row.clone()) }];
        let (epoch, to_version) = ("one".to_owned(), from_version + 1);
        let delta = Delta { epoch, from_version, to_version, upserts, removals: Vec::new() };
        replica.apply(&delta).await.unwrap_or_else(|error| panic!("{error}: {row:?}"));
    }
    // A generator of what nobody takes proves nothing.
    assert!(taken.iter().all(|one| *one > 50), "{taken:?}");
    assert_eq!(count(&layout.secrets_db(), "credential"), taken[4]);
    assert_eq!(count(&layout.directory_db(), "autoreply"), taken[5]);
}

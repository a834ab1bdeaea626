//! A storage node of a test: a replica, the real Dovecot, an identity, and its end of moves.

use std::{
    collections::BTreeMap,
    fs::Permissions,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use time::OffsetDateTime;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use umail_agent::{
    config::{Config, Ports},
    drivers::{Driver, Refusal, dovecot::Dovecot},
    identity::Identity,
    layout::Layout,
    moves::Moves,
    replica::Replica,
    supervisors::direct::Direct,
};
use umail_proto::{
    agent::{
        AccountStatus, ActionFindings, CopyMailbox, Delta, DesiredService, DesiredState,
        DirectoryRow, Domain, FreezeMailbox, ListenerKind, MailSettings, Peer, PrepareMove,
        ReleaseMailbox, RemoveMailbox, Role, ServiceKind, SnapshotBegin, SnapshotEnd, StorageNode,
        User, VerifyMailbox, action::Verb, directory_row::Row,
    },
    clock::Clock,
};
use uuid::Uuid;

const EPOCH: &str = "00000000-0000-4000-8000-00000000e90c";
/// The node that has the mailbox at first.
pub(crate) const SOURCE: u128 = 0xa1;
/// The node that it moves to.
pub(crate) const DESTINATION: u128 = 0xa2;
/// A node that has no part in the move.
pub(crate) const OTHER: u128 = 0xa3;
/// The user that is moved.
pub(crate) const ADA: (u128, &str) = (11, "ada@example.org");
/// A user that stays where he is.
pub(crate) const BOB: (u128, &str) = (12, "bob@example.org");
/// The move.
pub(crate) const MOVE: u128 = 0x77;

/// The id that goes with this number.
pub(crate) fn id(number: u128) -> String {
    Uuid::from_u128(number).hyphenated().to_string()
}

/// What several nodes have in common.
pub(crate) struct Fleet {
    authority: CertifiedIssuer<'static, KeyPair>,
    peer_port: u16,
}

impl Fleet {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test root");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap());
        Self { authority: authority.unwrap(), peer_port: free_port() }
    }

    /// Another fleet, with other roots, whose agents listen on the same port.
    pub(crate) fn with_port_of(other: &Self) -> Self {
        Self { peer_port: other.peer_port, ..Self::new() }
    }

    /// Makes the files that joining leaves.
    fn join(&self, layout: &Layout, number: u128) {
        let (key, id) = (KeyPair::generate().unwrap(), id(number));
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, id.as_str());
        params.subject_alt_names = vec![
            SanType::DnsName(format!("{id}.node.umail").try_into().unwrap()),
            SanType::URI(format!("urn:umail:node:{id}").try_into().unwrap()),
        ];
        let certificate = params.signed_by(&key, &self.authority).unwrap().pem();
        let folder = layout.agent();
        std::fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        write("node.key", &key.serialize_pem());
        write("node.pem", &certificate);
        write("roots.pem", &self.authority.pem());
        write("node-id", &id);
    }
}

/// A storage node; its Dovecot is gone when it is dropped.
pub(crate) struct Node {
    _folder: tempfile::TempDir,
    pub(crate) layout: Layout,
    pub(crate) lmtp: u16,
    config: Config,
    number: u128,
    pub(crate) replica: Replica,
    pub(crate) moves: Moves,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Node {
    /// A running node whose replica has the users of the test.
    pub(crate) async fn start(fleet: &Fleet, number: u128) -> Self {
        let folder = tempfile::Builder::new().prefix("um-").tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let layout = Layout::new(folder.path().join("n"));
        let config = config(&layout, fleet.peer_port);
        fleet.join(&layout, number);
        let replica = Replica::open(&layout).await.unwrap();
        fill(&replica).await;
        let supervisor = Arc::new(Direct::new(layout.clone()));
        let dovecot = Dovecot::new(layout.clone(), &config, supervisor);
        dovecot.configure(&desired(number)).await.unwrap();
        dovecot.start().await.unwrap();
        let moves = moves(&layout, &config, &replica);
        let node = Self {
            _folder: folder,
            layout,
            lmtp: config.ports.lmtp,
            config,
            number,
            replica,
            moves,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        node.wait_for_lmtp().await;
        node
    }

    /// Answers the agents of other nodes.
    pub(crate) async fn serve(&self) {
        let at = ("127.0.0.1", self.config.peer_port);
        let listener = tokio::net::TcpListener::bind(at).await.unwrap();
        let (moves, stop) = (self.moves.clone(), self.stop.clone());
        self.tasks.spawn(async move { moves.serve(listener, stop).await });
    }

    /// The agent dies and comes back: only what is on the disk is left.
    pub(crate) async fn restart_agent(&mut self) {
        let was_serving = !self.tasks.is_empty();
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        (self.stop, self.tasks) = (CancellationToken::new(), TaskTracker::new());
        self.moves = moves(&self.layout, &self.config, &self.replica);
        if was_serving {
            self.serve().await;
        }
    }

    async fn wait_for_lmtp(&self) {
        for _ in 0..300 {
            if tokio::net::TcpStream::connect(("127.0.0.1", self.lmtp)).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("Dovecot does not come up");
    }

    async fn execute(&self, verb: Verb) -> Result<ActionFindings, Refusal> {
        let deadline = Clock::system().now() + time::Duration::minutes(2);
        self.execute_until(verb, deadline).await
    }

    /// Carries out one step.
    pub(crate) async fn execute_until(
        &self,
        verb: Verb,
        deadline: OffsetDateTime,
    ) -> Result<ActionFindings, Refusal> {
        let peers = [SOURCE, DESTINATION, OTHER].map(|number| Peer {
            node_id: id(number),
            name: format!("storage-{number:x}"),
            address: "127.0.0.1".to_owned(),
            roles: vec![Role::Storage.into()],
        });
        self.moves.execute(&verb, deadline, &peers).await
    }

    pub(crate) async fn prepare(&self) -> Result<ActionFindings, Refusal> {
        self.execute(Verb::PrepareMove(PrepareMove {
            move_id: id(MOVE),
            user_id: id(ADA.0),
            source_node_id: id(SOURCE),
        }))
        .await
    }

    pub(crate) async fn copy(&self) -> Result<ActionFindings, Refusal> {
        self.execute(copy_of(ADA.0)).await
    }

    pub(crate) async fn freeze(&self) -> Result<ActionFindings, Refusal> {
        let (move_id, user_id) = (id(MOVE), id(ADA.0));
        self.execute(Verb::FreezeMailbox(FreezeMailbox { move_id, user_id })).await
    }

    pub(crate) async fn verify(&self) -> Result<ActionFindings, Refusal> {
        let (move_id, user_id) = (id(MOVE), id(ADA.0));
        self.execute(Verb::VerifyMailbox(VerifyMailbox { move_id, user_id })).await
    }

    pub(crate) async fn release(&self) -> Result<ActionFindings, Refusal> {
        let (move_id, user_id) = (id(MOVE), id(ADA.0));
        self.execute(Verb::ReleaseMailbox(ReleaseMailbox { move_id, user_id })).await
    }

    pub(crate) async fn remove(&self) -> Result<ActionFindings, Refusal> {
        let (move_id, user_id) = (id(MOVE), id(ADA.0));
        self.execute(Verb::RemoveMailbox(RemoveMailbox { move_id, user_id })).await
    }

    /// Runs any step.
    pub(crate) async fn run(&self, verb: Verb) -> Result<ActionFindings, Refusal> {
        self.execute(verb).await
    }

    /// The directory places Ada's mailbox on this node.
    pub(crate) async fn place(&self, storage: u128) {
        self.change(Row::User(user(ADA.0, "ada", storage))).await;
    }

    /// The directory of this node changes.
    pub(crate) async fn change(&self, row: Row) {
        let from_version = self.replica.position().await.unwrap().unwrap().version;
        let delta = Delta {
            epoch: EPOCH.to_owned(),
            from_version,
            to_version: from_version + 1,
            upserts: vec![DirectoryRow { row: Some(row) }],
            removals: Vec::new(),
        };
        self.replica.apply(&delta).await.unwrap();
    }

    /// Every message of a mailbox: folder, UID and flags by Message-ID. Fails on a double one.
    pub(crate) fn messages(&self, address: &str) -> BTreeMap<String, (String, String, String)> {
        let fields = "mailbox uid flags hdr.message-id";
        let table = self.doveadm(&["-f", "tab", "fetch", "-u", address, fields, "mailbox", "*"]);
        let mut found = BTreeMap::new();
        for line in table.lines().skip(1) {
            let cells: Vec<&str> = line.split('\t').collect();
            let place = (cells[0].to_owned(), cells[1].to_owned(), cells[2].to_owned());
            let double = found.insert(cells[3].to_owned(), place);
            assert!(double.is_none(), "{} is there twice", cells[3]);
        }
        found
    }

    /// Runs doveadm with this node's configuration.
    pub(crate) fn doveadm(&self, arguments: &[&str]) -> String {
        let output = Command::new("/usr/bin/doveadm")
            .arg("-c")
            .arg(self.dovecot_conf())
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Where the mailbox of this user lies.
    pub(crate) fn mailbox(&self, user: u128) -> PathBuf {
        self.layout.mail().join(id(user))
    }

    fn dovecot_conf(&self) -> PathBuf {
        self.layout.etc("dovecot").join("dovecot.conf")
    }
}

impl Drop for Node {
    #[expect(clippy::disallowed_methods, reason = "a destructor cannot wait otherwise")]
    fn drop(&mut self) {
        self.stop.cancel();
        let pid = std::fs::read_to_string(self.layout.run("dovecot").join("master.pid"));
        Command::new("/usr/bin/doveadm")
            .arg("-c")
            .arg(self.dovecot_conf())
            .arg("stop")
            .output()
            .ok();
        let process = Path::new("/proc").join(pid.unwrap_or_default().trim());
        for _ in 0..100 {
            if !process.join("stat").exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.layout.log("dovecot")).unwrap_or_default();
            let lines: Vec<_> = log.lines().rev().take(40).collect();
            eprintln!(
                "--- dovecot.log of {:x}, last line first\n{}",
                self.number,
                lines.join("\n")
            );
        }
    }
}

/// A copy of the mailbox of this user to the destination.
pub(crate) fn copy_of(user: u128) -> Verb {
    let (move_id, user_id, destination_node_id) = (id(MOVE), id(user), id(DESTINATION));
    Verb::CopyMailbox(CopyMailbox { move_id, user_id, destination_node_id })
}

fn moves(layout: &Layout, config: &Config, replica: &Replica) -> Moves {
    let identity = Identity::load(layout).unwrap();
    Moves::new(layout.clone(), config, replica.clone(), identity, Clock::system())
        .unwrap()
        .with_program(PathBuf::from(env!("CARGO_BIN_EXE_umail-agent")))
}

fn config(layout: &Layout, peer_port: u16) -> Config {
    let text = format!(
        "data_dir = '{}'\nservers = []\naddress = '127.0.0.1'\nsupervisor = 'direct'\n",
        layout.root().display()
    );
    let ports = Ports {
        smtp: free_port(),
        submission: free_port(),
        pop3: free_port(),
        pop3s: free_port(),
        imap: free_port(),
        imaps: free_port(),
        lmtp: free_port(),
        reply: free_port(),
    };
    Config { ports, peer_port, ..toml::from_str(&text).unwrap() }
}

/// A port that nobody listens on, another one in every process of the tests, below those that the
/// system gives to clients.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 4_000 + u16::try_from(std::process::id() % 250).unwrap() * 33;
    loop {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

fn desired(number: u128) -> DesiredState {
    DesiredState {
        epoch: EPOCH.to_owned(),
        generation: 1,
        node_id: id(number),
        node_name: format!("storage-{number:x}"),
        roles: vec![Role::Storage.into()],
        services: vec![DesiredService {
            kind: ServiceKind::Dovecot.into(),
            running: true,
            restarts: 0,
            listeners: vec![ListenerKind::Imap.into(), ListenerKind::Lmtp.into()],
        }],
        peers: Vec::new(),
        mail_tls: None,
        settings: Some(MailSettings::default()),
    }
}

/// An active user of the domain.
pub(crate) fn user(number: u128, local_part: &str, storage: u128) -> User {
    User {
        id: id(number),
        domain_id: id(1),
        local_part: local_part.to_owned(),
        status: AccountStatus::Active.into(),
        functions: i64::MAX.unsigned_abs(),
        quota_unlimited: true,
        storage_node_id: id(storage),
        ..User::default()
    }
}

/// The domain of everybody.
pub(crate) fn domain() -> Domain {
    Domain {
        id: id(1),
        name: "example.org".to_owned(),
        status: AccountStatus::Active.into(),
        functions: i64::MAX.unsigned_abs(),
        catch_all: String::new(),
        deferred_until_seconds: 0,
    }
}

async fn fill(replica: &Replica) {
    let storage = |number: u128| {
        let name = format!("storage-{number:x}");
        Row::StorageNode(StorageNode { id: id(number), name, address: "127.0.0.1".to_owned() })
    };
    // Sorted by kind and key, as the server sends them.
    let rows = [
        Row::Domain(domain()),
        Row::User(user(ADA.0, "ada", SOURCE)),
        Row::User(user(BOB.0, "bob", SOURCE)),
        storage(SOURCE),
        storage(DESTINATION),
    ];
    let rows: Vec<_> = rows.into_iter().map(|row| DirectoryRow { row: Some(row) }).collect();
    let begin = SnapshotBegin { epoch: EPOCH.to_owned(), version: 1 };
    let mut writer = replica.begin_snapshot(&begin).unwrap();
    let count = u64::try_from(rows.len()).unwrap();
    writer.add(rows).unwrap();
    writer.finish(&SnapshotEnd { rows: count }).await.unwrap();
}

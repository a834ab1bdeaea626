//! A private mail node: a data directory, free ports, both drivers, real daemons.

use std::{
    fs::Permissions,
    net::{IpAddr, TcpListener},
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
use umail_agent::{
    config::{Config, Ports},
    drivers::{Change, Driver, Refusal, dovecot::Dovecot, postfix::Postfix},
    layout::Layout,
    replica::Replica,
    supervisors::direct::Direct,
};
use umail_proto::agent::{
    DesiredService, DesiredState, ListenerKind, MailSettings, MailTls, Peer, Role, ServiceKind,
};

use crate::directory::{EPOCH, id};

/// The name of the node, and the one in its certificate.
pub(crate) const NAME: &str = "node-1.umail.test";
/// The number of the node's id.
pub(crate) const NODE: u128 = 0xa1;

/// A node; its daemons are gone when it is dropped.
pub(crate) struct Node {
    folder: tempfile::TempDir,
    pub(crate) layout: Layout,
    pub(crate) config: Config,
    pub(crate) postfix: Postfix,
    pub(crate) dovecot: Dovecot,
    pub(crate) replica: Replica,
    pub(crate) desired: DesiredState,
}

/// What makes the nodes of one fleet different.
pub(crate) struct Place {
    pub(crate) number: u128,
    pub(crate) name: &'static str,
    pub(crate) address: IpAddr,
    pub(crate) roles: Vec<Role>,
}

impl Node {
    /// A node of all roles with free ports on loopback; nothing runs yet.
    pub(crate) async fn new() -> Self {
        let place = Place {
            number: NODE,
            name: NAME,
            address: [127, 0, 0, 1].into(),
            roles: vec![Role::Smtp, Role::Pop, Role::Storage],
        };
        Self::at(&place, &Authority::new(), free_ports(), Vec::new()).await
    }

    /// A node of a fleet on loopback: they share the ports, and each has its address.
    pub(crate) async fn at(
        place: &Place,
        authority: &Authority,
        ports: Ports,
        listen: Vec<IpAddr>,
    ) -> Self {
        let folder = tempfile::Builder::new().prefix("um-").tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let layout = Layout::new(folder.path().join("n"));
        let config = Config { address: place.address, listen, ..config(&layout, ports) };
        let desired = DesiredState {
            epoch: EPOCH.into(),
            generation: 1,
            node_id: id(place.number),
            node_name: place.name.into(),
            roles: place.roles.iter().map(|&role| role.into()).collect(),
            services: services(&place.roles),
            peers: Vec::new(),
            mail_tls: Some(authority.issue(place.name, place.address)),
            settings: Some(MailSettings {
                hostname: place.name.into(),
                message_size_limit_bytes: 1 << 20,
                postmaster_address: String::new(),
            }),
        };
        let supervisor = Arc::new(Direct::new(layout.clone()));
        let postfix = Postfix::new(layout.clone(), &config, supervisor.clone());
        let dovecot =
            Dovecot::new(layout.clone(), &config, supervisor).with_program(program(folder.path()));
        let replica = Replica::open(&layout).await.unwrap();
        Self { folder, layout, config, postfix, dovecot, replica, desired }
    }

    /// The listeners that the services of this node shall have.
    pub(crate) fn wanted(&self) -> Vec<ListenerKind> {
        self.desired.services.iter().flat_map(|service| service.listeners()).collect()
    }

    /// Installs the configuration of the services and starts them.
    pub(crate) async fn start(&self) {
        for driver in self.drivers() {
            driver.configure(&self.desired).await.unwrap();
            driver.start().await.unwrap();
        }
        wait_until("the listeners are open", || async {
            let mut open = Vec::new();
            for driver in self.drivers() {
                open.extend(driver.observe().await.listeners);
            }
            open == self.wanted()
        })
        .await;
    }

    fn drivers(&self) -> Vec<&dyn Driver> {
        let has = |kind| self.desired.services.iter().any(|service| service.kind() == kind);
        let all = [&self.postfix as &dyn Driver, &self.dovecot as &dyn Driver];
        all.into_iter().filter(|driver| has(driver.kind())).collect()
    }

    /// Installs what `desired` says now and reloads what changed.
    pub(crate) async fn bring(&self) -> Result<(), Refusal> {
        for driver in self.drivers() {
            if driver.configure(&self.desired).await? != Change::None {
                driver.reload().await?;
            }
        }
        Ok(())
    }

    /// Opens these listeners of a service and no other one.
    pub(crate) fn set_listeners(&mut self, kind: ServiceKind, listeners: &[ListenerKind]) {
        let services = self.desired.services.iter_mut();
        let service = services.into_iter().find(|service| service.kind() == kind).unwrap();
        service.listeners = listeners.iter().map(|&listener| listener.into()).collect();
    }

    /// What the log of this service says.
    pub(crate) fn log(&self, service: &str) -> String {
        std::fs::read(self.layout.log(service))
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .unwrap_or_default()
    }

    /// Asks one of Postfix's maps, as Postfix does.
    pub(crate) fn postmap(&self, map: &str, key: &str) -> (String, String) {
        let folder = self.layout.etc("postfix");
        let output = Command::new("/usr/sbin/postmap")
            .arg("-c")
            .arg(&folder)
            .args(["-q", key])
            .arg(format!("sqlite:{}/{map}.cf", folder.display()))
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
        (text(output.stdout), text(output.stderr))
    }

    /// Runs doveadm with this node's configuration: exit status and output.
    pub(crate) fn doveadm(&self, arguments: &[&str]) -> (i32, String) {
        let output = Command::new("/usr/bin/doveadm")
            .arg("-c")
            .arg(self.layout.etc("dovecot").join("dovecot.conf"))
            .args(arguments)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let postfix = self.layout.etc("postfix");
        let dovecot = self.layout.etc("dovecot").join("dovecot.conf");
        let pid = std::fs::read_to_string(self.layout.run("dovecot").join("master.pid"));
        if postfix.exists() {
            Command::new("/usr/sbin/postfix").arg("-c").arg(postfix).arg("stop").output().ok();
        }
        if let Ok(pid) = pid {
            Command::new("/usr/bin/doveadm").arg("-c").arg(dovecot).arg("stop").output().ok();
            wait_for_end(pid.trim());
        }
        if std::thread::panicking() {
            for service in ["postfix", "dovecot"] {
                eprintln!("--- {service}.log\n{}", self.log(service));
            }
        }
        assert!(self.folder.path().exists());
    }
}

#[expect(clippy::disallowed_methods, reason = "a destructor cannot wait otherwise")]
fn wait_for_end(pid: &str) {
    for _ in 0..100 {
        if !Path::new("/proc").join(pid).exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The services of these roles with all their listeners.
fn services(roles: &[Role]) -> Vec<DesiredService> {
    let service = |kind: ServiceKind, listeners: &[ListenerKind]| DesiredService {
        kind: kind.into(),
        running: true,
        restarts: 0,
        listeners: listeners.iter().map(|&listener| listener.into()).collect(),
    };
    let mut dovecot = Vec::new();
    if roles.contains(&Role::Pop) || roles.contains(&Role::Storage) {
        dovecot.extend([ListenerKind::Pop3, ListenerKind::Imap]);
    }
    if roles.contains(&Role::Storage) {
        dovecot.push(ListenerKind::Lmtp);
    }
    let mut services = Vec::new();
    if roles.contains(&Role::Smtp) {
        services
            .push(service(ServiceKind::Postfix, &[ListenerKind::Smtp, ListenerKind::Submission]));
    }
    services.push(service(ServiceKind::Dovecot, &dovecot));
    services
}

/// The agent's program where the user of the mailboxes may start it: not everybody enters a checkout.
fn program(folder: &Path) -> PathBuf {
    let (built, there) = (env!("CARGO_BIN_EXE_umail-agent"), folder.join("umail-agent"));
    if std::fs::hard_link(built, &there).is_err() {
        std::fs::copy(built, &there).unwrap();
    }
    there
}

/// A peer with this number, name and address.
pub(crate) fn peer(number: u128, name: &str, address: &str, roles: &[Role]) -> Peer {
    Peer {
        node_id: id(number),
        name: name.into(),
        address: address.into(),
        roles: roles.iter().map(|&role| role.into()).collect(),
    }
}

fn config(layout: &Layout, ports: Ports) -> Config {
    let text = format!(
        "data_dir = '{}'\nservers = []\naddress = '127.0.0.1'\nsupervisor = 'direct'\n",
        layout.root().display()
    );
    Config { ports, ..toml::from_str(&text).unwrap() }
}

/// Ports that nobody listens on, different ones in every process of the tests. They lie below
/// those that the system gives to clients.
pub(crate) fn free_ports() -> Ports {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 12_000 + u16::try_from(std::process::id() % 1_000).unwrap() * 20;
    let next = || loop {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    };
    Ports {
        smtp: next(),
        submission: next(),
        pop3: next(),
        pop3s: next(),
        imap: next(),
        imaps: next(),
        lmtp: next(),
        reply: next(),
    }
}

/// Waits for something that happens by itself, for 20 seconds.
pub(crate) async fn wait_until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    wait_at_most(Duration::from_secs(20), what, holds).await;
}

/// Waits for something that happens by itself.
pub(crate) async fn wait_at_most<F: Future<Output = bool>>(
    limit: Duration,
    what: &str,
    holds: impl Fn() -> F,
) {
    let end = std::time::Instant::now() + limit;
    while std::time::Instant::now() < end {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("waited in vain until {what}");
}

/// A certificate authority for the mail daemons of a test.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "U-Mail test root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for this host.
    pub(crate) fn issue(&self, name: &str, address: IpAddr) -> MailTls {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names =
            vec![SanType::DnsName(name.try_into().unwrap()), SanType::IpAddress(address)];
        let certificate = params.signed_by(&key, &self.0).unwrap();
        MailTls {
            chain_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            roots_pem: self.0.pem(),
        }
    }
}

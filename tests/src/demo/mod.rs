//! The main job, step by step, as the demo shows it and the end-to-end suite checks it.
#![expect(clippy::indexing_slicing, reason = "JSON answers null for what is not there")]

mod directory;
mod listeners;
mod mailbox_move;
mod messages;
mod outage;
mod report;
mod traffic;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

pub use self::report::Report;
use crate::harness::{
    Because, Fleet, Result,
    fleet::FOUR_NODES,
    mail::{Imap, Pop3, Trust},
    rest::Rest,
};

/// Password of both users.
pub const PASSWORD: &str = "correct-horse-battery";
/// The user that is moved and reads by POP3 and IMAP.
pub const ALICE: &str = "alice@demo.test";
/// The other user.
pub const BOB: &str = "bob@demo.test";

/// The fleet and what the steps know of it.
#[derive(Debug)]
pub struct Demo {
    /// The running fleet.
    pub fleet: Fleet,
    rest: Rest,
    trust: Trust,
    counts: traffic::Counts,
}

/// Runs every step; the report says whether all of them held. The fleet is returned if it
/// could be started, so that a reader can look at it.
pub async fn run(report: &mut Report) -> Option<Demo> {
    let mut demo = match start(report).await {
        Ok(demo) => demo,
        Err(error) => {
            report.failed("start the fleet", &error);
            return None;
        }
    };
    macro_rules! step {
        ($name:expr, $step:path) => {{
            let started = Instant::now();
            match $step(&mut demo).await {
                Ok(said) => report.held($name, started.elapsed(), &said),
                Err(error) => report.failed($name, &error),
            }
        }};
    }
    step!("create a domain and two users over REST", directory::create);
    step!("the nodes apply the directory", directory::applied);
    step!("send messages by SMTP, one by authenticated submission", messages::send);
    step!("read them by POP3 and IMAP through the pop node", messages::read);
    step!("status, load and traffic of every node", traffic::compare);
    step!("stop the POP3 listener; IMAP is untouched", listeners::stop);
    step!("start the POP3 listener again", listeners::start);
    step!("move a mailbox while messages arrive", mailbox_move::under_load);
    step!("kill the API server and its database; mail goes on", outage::kill);
    step!("start them again; the counts of that time arrive", outage::recover);
    Some(demo)
}

async fn start(report: &mut Report) -> Result<Demo> {
    let started = Instant::now();
    let mut fleet = Fleet::create(FOUR_NODES)?;
    let said = format!("bridge and four namespaces in 10.83.{}.0/24", fleet.number());
    report.held("build the network", started.elapsed(), &said);
    match start_in(&mut fleet, report).await {
        Ok((rest, trust)) => Ok(Demo { fleet, rest, trust, counts: traffic::Counts::default() }),
        Err(error) => {
            report.keep_logs(&fleet);
            Err(error)
        }
    }
}

async fn start_in(fleet: &mut Fleet, report: &mut Report) -> Result<(Rest, Trust)> {
    let started = Instant::now();
    fleet.server.start().await?;
    fleet.server.create_operator().await?;
    let rest = fleet.server.sign_in().await?;
    let said = format!("{} with an embedded database", fleet.server.base());
    report.held("start umail-api and sign in", started.elapsed(), &said);
    let started = Instant::now();
    fleet.enrol(&rest, FOUR_NODES).await?;
    fleet.ready(&rest).await?;
    let said = "smtp-1, pop-1, storage-1, storage-2: agents, Postfix and Dovecot run";
    report.held("enrol four nodes by join token", started.elapsed(), said);
    let trust = fleet.trust()?;
    Ok((rest, trust))
}

impl Demo {
    /// The REST session of the operator.
    #[must_use]
    pub const fn rest(&self) -> &Rest {
        &self.rest
    }

    fn address(&self, node: &str, port: u16) -> Result<SocketAddr> {
        Ok(SocketAddr::new(self.fleet.node(node)?.address(), port))
    }

    async fn imap(&self, user: &str) -> Result<Imap> {
        Imap::open(self.address("pop-1", 993)?, &self.trust, user, PASSWORD)
            .await
            .because(format!("IMAP of {user} through pop-1"))
    }

    async fn pop3(&self, user: &str) -> Result<Pop3> {
        Pop3::open(self.address("pop-1", 995)?, &self.trust, user, PASSWORD)
            .await
            .because(format!("POP3 of {user} through pop-1"))
    }

    async fn node(&self, name: &str) -> Result<Value> {
        let nodes = self.rest.items("/v1/nodes").await?;
        let found = nodes.into_iter().find(|node| node["name"] == name);
        found.ok_or_else(|| format!("the API knows no node {name}").into())
    }

    async fn node_path(&self, name: &str) -> Result<String> {
        let node = self.node(name).await?;
        Ok(format!("/v1/nodes/{}", node["id"].as_str().unwrap_or_default()))
    }

    /// What a person needs to try things out.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        let server = &self.fleet.server;
        let address = |node| self.address(node, 0).map(|address| address.ip().to_string());
        let (smtp, pop) = (address("smtp-1"), address("pop-1"));
        let (smtp, pop) = (smtp.unwrap_or_default(), pop.unwrap_or_default());
        let namespace = format!("umail-{}-smtp-1", self.fleet.number());
        let roots = self.fleet.nodes.first().map(|node| node.layout().agent().join("roots.pem"));
        let roots = roots.unwrap_or_default().display().to_string();
        let sign_in = json!({ "name": "root", "password": server.password() });
        vec![
            format!("API documentation   {}/docs", server.base()),
            format!("operator            root / {}", server.password()),
            format!("mail users          {ALICE}, {BOB} / {PASSWORD}"),
            format!(
                "access token        curl -s {}/v1/sessions -H 'content-type: application/json' \
                 -d '{sign_in}' | jq -r .access_token",
                server.base(),
            ),
            format!(
                "send a message      ip netns exec {namespace} swaks --server {smtp} \
                 --from guest@elsewhere.test --to {ALICE}"
            ),
            format!(
                "submit as alice     swaks --server {smtp}:587 --tls --auth-user {ALICE} \
                 --auth-password {PASSWORD} --from {ALICE} --to {BOB}"
            ),
            format!(
                "read by IMAP        curl -s --cacert {roots} -u {ALICE}:{PASSWORD} \
                 'imaps://{pop}/INBOX;MAILINDEX=1'"
            ),
            format!(
                "read by POP3        curl -s --cacert {roots} -u {ALICE}:{PASSWORD} \
                 pop3s://{pop}/1"
            ),
        ]
    }
}

/// How long mail may take from acceptance to the mailbox.
const DELIVERY: Duration = Duration::from_secs(20);

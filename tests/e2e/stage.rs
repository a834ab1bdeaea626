//! A fleet with a domain and users, for tests to play on.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, time::Duration};

use serde_json::json;
use tokio::sync::{Mutex, MutexGuard};
use umail_tests::harness::{
    Fleet, NodePlan, Result,
    load::{Flow, Plan, Sent},
    mail::{Imap, Smtp, Trust, message, smtp::Reply},
    rest::Rest,
    until,
};

/// Password of every user.
pub(crate) const PASSWORD: &str = "correct-horse-battery";
/// The domain.
pub(crate) const DOMAIN: &str = "stage.test";
/// Who writes from elsewhere.
pub(crate) const GUEST: &str = "guest@elsewhere.test";

/// One fleet at a time also where the tests are threads of one process.
pub(crate) static TURN: Mutex<()> = Mutex::const_new(());

/// A running fleet, its operator's session, and what a client trusts.
pub(crate) struct Stage {
    pub(crate) fleet: Fleet,
    pub(crate) rest: Rest,
    pub(crate) trust: Trust,
    /// Names of the nodes that take mail from elsewhere, and that users read from.
    smtp: &'static str,
    pop: &'static str,
    _turn: MutexGuard<'static, ()>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e-logs");
            let logs = logs.join(self.fleet.nodes.len().to_string());
            // The failure of the test is told anyway.
            self.fleet.keep_logs(&logs).ok();
        }
    }
}

impl Stage {
    /// Starts the fleet and creates the domain.
    pub(crate) async fn start(plan: &'static [NodePlan]) -> Self {
        let turn = TURN.lock().await;
        let (fleet, rest) = Fleet::start(plan).await.unwrap();
        let trust = fleet.trust().unwrap();
        rest.post("/v1/domains", &json!({ "name": DOMAIN })).await.unwrap();
        let with = |role| plan.iter().find(|node| node.roles.contains(&role)).unwrap().name;
        Self { fleet, rest, trust, smtp: with("smtp"), pop: with("pop"), _turn: turn }
    }

    /// Creates a user and returns the address. Not waited for.
    pub(crate) async fn user(&self, local_part: &str, node: &str) -> Result<String> {
        let user = json!({
            "local_part": local_part,
            "password": PASSWORD,
            "display_name": local_part,
            "quota_bytes": 100_000_000,
            "storage_node": node,
        });
        self.rest.post(&format!("/v1/domains/{DOMAIN}/users"), &user).await?;
        Ok(format!("{local_part}@{DOMAIN}"))
    }

    /// Sends one message from elsewhere.
    pub(crate) async fn send(&self, to: &str, id: &str) -> Result<Reply> {
        let mut smtp = Smtp::connect(self.smtp(25)).await?;
        smtp.send(GUEST, &[to], &message(GUEST, to, id, "a test")).await
    }

    /// Hands in a message as this user.
    pub(crate) async fn submit(&self, from: &str, to: &str, id: &str) -> Result<Reply> {
        let mut smtp = Smtp::connect(self.smtp(587)).await?.start_tls(&self.trust).await?;
        assert_eq!(smtp.login(from, PASSWORD).await?.code, 235);
        smtp.send(from, &[to], &message(from, to, id, "a test")).await
    }

    /// Whether mail to the address is taken: the recipient only, no message.
    pub(crate) async fn accepts(&self, to: &str) -> Result<Reply> {
        let mut smtp = Smtp::connect(self.smtp(25)).await?;
        smtp.command(&format!("MAIL FROM:<{GUEST}>")).await?;
        smtp.command(&format!("RCPT TO:<{to}>")).await
    }

    /// A steady flow of messages from elsewhere to these users.
    pub(crate) fn flow(&self, name: &str, to: &[&str], rate: u32) -> Flow {
        Flow::start(Plan {
            server: self.smtp(25),
            from: GUEST.to_owned(),
            to: to.iter().map(|to| (*to).to_owned()).collect(),
            name: name.to_owned(),
            rate,
        })
    }

    /// How often each Message-ID is in the user's INBOX, through the pop node.
    pub(crate) async fn inbox(&self, user: &str) -> Result<BTreeMap<String, usize>> {
        let address = SocketAddr::new(self.fleet.node(self.pop)?.address(), 993);
        let mut imap = Imap::open(address, &self.trust, user, PASSWORD).await?;
        imap.select("INBOX").await?;
        let mut found = BTreeMap::new();
        for entry in imap.entries().await? {
            *found.entry(entry.message_id).or_default() += 1;
        }
        imap.logout().await?;
        Ok(found)
    }

    /// Waits until a message is in the INBOX.
    pub(crate) async fn arrives(&self, user: &str, id: &str) -> Result {
        until(Duration::from_secs(30), async || {
            let found = self.inbox(user).await?.contains_key(id);
            Ok(if found { Ok(()) } else { Err(format!("{id} is not in the INBOX of {user}")) })
        })
        .await
    }

    /// Waits until every message of a flow is in the INBOXes, each once.
    pub(crate) async fn all_arrive_once(&self, users: &[&str], sent: &Sent) -> Result {
        assert_eq!(sent.refused, Vec::<String>::new());
        until(Duration::from_mins(1), async || {
            let mut found = BTreeMap::new();
            for user in users {
                found.extend(self.inbox(user).await?);
            }
            let missing = sent.accepted.iter().filter(|id| !found.contains_key(*id)).count();
            let doubled: Vec<_> = found.iter().filter(|(_id, count)| **count > 1).collect();
            assert!(doubled.is_empty() || sent.unclear > 0, "doubled: {doubled:?}");
            Ok(if missing == 0 { Ok(()) } else { Err(format!("{missing} messages are missing")) })
        })
        .await
    }

    /// Waits until the server says this of the node.
    pub(crate) async fn status(&self, name: &str, status: &str, limit: Duration) -> Result {
        until(limit, async || {
            let node = self.rest.get(&format!("/v1/nodes/{name}")).await?;
            let now = &node["status"];
            Ok(if now == status { Ok(()) } else { Err(format!("{name} is {now}")) })
        })
        .await
    }

    /// Sum of a traffic kind of a node.
    pub(crate) async fn counted(&self, node: &str, kind: &str) -> Result<u64> {
        let traffic = self.rest.get(&format!("/v1/nodes/{node}/traffic")).await?;
        let totals = traffic["totals"].as_array().cloned().unwrap_or_default();
        let total = totals.iter().find(|total| total["kind"] == kind);
        Ok(total.and_then(|total| total["messages"].as_u64()).unwrap_or_default())
    }

    /// Address of a port of the node that takes mail.
    pub(crate) fn smtp(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.fleet.node(self.smtp).unwrap().address(), port)
    }
}

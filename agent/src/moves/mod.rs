//! Mailbox moves: the steps that the server asks of the source and of the destination; and what
//! else is done to a whole mailbox.
//!
//! Every step may be asked again, after any crash on either side, and then does what is left of
//! it. What has to survive is on the disk before a step is answered: on the destination whom it
//! expects, on the source that the mailbox is frozen and what it held when it was verified.

mod mailbox;
mod peer;
mod pipe;
mod records;

use std::{path::PathBuf, sync::Arc, time::Duration};

use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use umail_proto::{
    agent::{
        ActionFindings, CopyMailbox, Peer, PrepareMove, RemoveMailbox, VerifyMailbox, action::Verb,
    },
    clock::Clock,
};
use uuid::Uuid;

pub use self::pipe::pipe;
use self::{mailbox::Mailbox, records::Records};
use crate::{
    config::Config,
    drivers::{Refusal, dovecot::sessions},
    identity::Identity,
    layout::Layout,
    replica::Replica,
};

/// How long sessions and deliveries of a frozen user may take to end.
const QUIET_LIMIT: Duration = Duration::from_secs(20);
/// A delivery or login that was let in just before a freeze shows among the sessions by then.
const SETTLED_AFTER: Duration = Duration::from_millis(150);

/// Carries out the steps of moves. Clones share one.
#[derive(Clone)]
pub struct Moves {
    parts: Arc<Parts>,
}

struct Parts {
    layout: Layout,
    peer_port: u16,
    replica: Replica,
    identity: Identity,
    clock: Clock,
    records: Records,
    /// What doveadm starts for its end of a copy: this program.
    program: PathBuf,
}

impl Moves {
    /// Moves of the mailboxes of this node.
    pub fn new(
        layout: Layout,
        config: &Config,
        replica: Replica,
        identity: Identity,
        clock: Clock,
    ) -> std::io::Result<Self> {
        let records = Records::open(&layout)?;
        let peer_port = config.peer_port;
        let program = std::env::current_exe()?;
        let parts = Parts { layout, peer_port, replica, identity, clock, records, program };
        Ok(Self { parts: Arc::new(parts) })
    }

    /// Has doveadm start this program instead of the one that runs.
    #[must_use]
    pub fn with_program(mut self, program: PathBuf) -> Self {
        if let Some(parts) = Arc::get_mut(&mut self.parts) {
            parts.program = program;
        }
        self
    }

    /// Carries out one step. Verbs that are not about a mailbox are refused.
    pub async fn execute(
        &self,
        verb: &Verb,
        deadline: OffsetDateTime,
        peers: &[Peer],
    ) -> Result<ActionFindings, Refusal> {
        let nothing = |()| ActionFindings::default();
        match verb {
            Verb::PrepareMove(step) => self.prepare(step, deadline).map(nothing),
            Verb::CopyMailbox(step) => self.copy(step, deadline, peers).await.map(nothing),
            Verb::FreezeMailbox(step) => {
                self.freeze(&step.user_id, &step.move_id).await.map(nothing)
            }
            Verb::VerifyMailbox(step) => self.verify(step).await,
            Verb::ReleaseMailbox(step) => {
                self.release(&step.user_id, &step.move_id).await.map(nothing)
            }
            Verb::RemoveMailbox(step) => self.remove(step).await.map(nothing),
            Verb::KickUser(step) => self.kick(&step.user_id).await.map(nothing),
            Verb::PurgeMailbox(step) => self.purge(&step.user_id).await.map(nothing),
            Verb::FlushQueue(_) | Verb::HoldMail(_) => {
                Err(Refusal("this is not about a mailbox".to_owned()))
            }
        }
    }

    /// Takes copies from other nodes until it is told to stop.
    pub async fn serve(&self, listener: TcpListener, stop: CancellationToken) {
        peer::serve(&self.parts, listener, stop).await;
    }

    /// The directory tells this node of the user afterwards; a copy that comes before is refused.
    fn prepare(&self, step: &PrepareMove, deadline: OffsetDateTime) -> Result<(), Refusal> {
        let now = self.parts.clock.now();
        self.parts.records.expect(step, deadline, now).map_err(refusal)
    }

    async fn copy(
        &self,
        step: &CopyMailbox,
        deadline: OffsetDateTime,
        peers: &[Peer],
    ) -> Result<(), Refusal> {
        let destination = &step.destination_node_id;
        let peer = peers
            .iter()
            .find(|peer| peer.node_id == *destination)
            .ok_or_else(|| Refusal(format!("node {destination} is no peer of this node")))?;
        let mailbox = self.mailbox(&step.user_id).await?;
        let limit = (deadline - self.parts.clock.now()).try_into().unwrap_or_default();
        let connection = peer::connect(&self.parts, peer, &step.move_id, &step.user_id).await?;
        let bridge = pipe::Bridge::open(&self.parts.layout, &step.move_id).map_err(refusal)?;
        let socket = bridge.path().to_owned();
        let carry = bridge.carry(connection);
        tokio::pin!(carry);
        let backup = mailbox.backup(&self.parts.program, &socket, limit);
        tokio::pin!(backup);
        // Whichever breaks first tells why; a copy is done when Dovecot says so.
        tokio::select! {
            copied = &mut backup => copied,
            carried = &mut carry => {
                let copied = backup.await;
                match (copied, carried) {
                    (Err(copied), Err(carried)) => Err(Refusal(format!("{copied}; {carried}"))),
                    (copied, _) => copied,
                }
            }
        }
    }

    /// When this returns, nothing changes the mailbox until it is released.
    async fn freeze(&self, user_id: &str, move_id: &str) -> Result<(), Refusal> {
        let mailbox = self.mailbox(user_id).await?;
        self.parts.replica.freeze(user_id, move_id).await.map_err(refusal)?;
        tokio::time::sleep(SETTLED_AFTER).await;
        let quiet = async {
            loop {
                self.kick(user_id).await?;
                if !mailbox.is_in_use().await? {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(QUIET_LIMIT, quiet)
            .await
            .map_err(|_elapsed| Refusal("sessions of the user do not end".to_owned()))?
    }

    async fn kick(&self, user_id: &str) -> Result<(), Refusal> {
        let address = address(&self.parts, user_id).await?;
        sessions::kick(&self.parts.layout, &address).await
    }

    async fn verify(&self, step: &VerifyMailbox) -> Result<ActionFindings, Refusal> {
        let findings = self.mailbox(&step.user_id).await?.describe().await?;
        let VerifyMailbox { move_id, user_id } = step;
        self.parts.records.verified(move_id, user_id, &findings.digest).map_err(refusal)?;
        Ok(findings)
    }

    async fn release(&self, user_id: &str, move_id: &str) -> Result<(), Refusal> {
        self.parts.replica.unfreeze(user_id, move_id).await.map_err(refusal)?;
        self.parts.records.forget_expected(move_id).map_err(refusal)
    }

    /// Removes a mailbox that lives elsewhere now, if it is still what was verified.
    async fn remove(&self, step: &RemoveMailbox) -> Result<(), Refusal> {
        let RemoveMailbox { move_id, user_id } = step;
        let owner = self.parts.replica.storage_node(user_id).await.map_err(refusal)?;
        if owner.is_none_or(|owner| owner == self.parts.identity.node_id() || owner.is_empty()) {
            return Err(Refusal("the directory does not place the mailbox elsewhere".to_owned()));
        }
        let mailbox = self.mailbox(user_id).await?;
        if mailbox.exists() {
            let verified = self.parts.records.digest(move_id, user_id);
            let verified = verified.ok_or_else(|| Refusal("it was not verified".to_owned()))?;
            if mailbox.describe().await?.digest != verified {
                let reason = "it has changed since it was verified, and stays where it is";
                return Err(Refusal(reason.to_owned()));
            }
            mailbox.remove().map_err(refusal)?;
        }
        self.parts.replica.unfreeze(user_id, move_id).await.map_err(refusal)?;
        self.parts.records.forget_verified(move_id).map_err(refusal)
    }

    /// Removes the mailbox of a user who is deleted, or whom the directory no longer has.
    async fn purge(&self, user_id: &str) -> Result<(), Refusal> {
        // The id becomes a path: nothing but its one spelling is let in.
        let is_id = Uuid::parse_str(user_id).is_ok_and(|id| id.hyphenated().to_string() == user_id);
        if !is_id {
            return Err(Refusal(format!("{user_id:?} is not the id of a user")));
        }
        let replica = &self.parts.replica;
        if replica.position().await.map_err(refusal)?.is_none() {
            return Err(Refusal("the directory has not arrived yet".to_owned()));
        }
        if !replica.is_deleted(user_id).await.map_err(refusal)? {
            return Err(Refusal(
                "the user is not deleted in the directory of this node".to_owned(),
            ));
        }
        let address = replica.user_address(user_id).await.map_err(refusal)?;
        let is_known = address.is_some();
        let mailbox = Mailbox::new(&self.parts.layout, user_id, address.unwrap_or_default());
        if is_known && mailbox.exists() {
            self.kick(user_id).await?;
            if mailbox.is_in_use().await? {
                return Err(Refusal("sessions of the user do not end".to_owned()));
            }
        }
        let removed = tokio::task::spawn_blocking(move || mailbox.remove());
        removed.await.map_err(refusal)?.map_err(refusal)
    }

    async fn mailbox(&self, user_id: &str) -> Result<Mailbox, Refusal> {
        mailbox(&self.parts, user_id).await
    }
}

/// The mailbox of a user that the replica knows.
async fn mailbox(parts: &Parts, user_id: &str) -> Result<Mailbox, Refusal> {
    Ok(Mailbox::new(&parts.layout, user_id, address(parts, user_id).await?))
}

async fn address(parts: &Parts, user_id: &str) -> Result<String, Refusal> {
    let address = parts.replica.user_address(user_id).await.map_err(refusal)?;
    address.ok_or_else(|| Refusal(format!("this node does not know user {user_id}")))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refusal(error: impl ToString) -> Refusal {
    Refusal(error.to_string())
}

//! What users may send: Postfix's submission service asks before it takes a message.
//!
//! The one question that is asked of the agent in the path of a message. When nobody answers, or
//! in time, Postfix takes the message: no limit is worth mail that waits for an agent.

mod counts;
mod protocol;
mod rules;

use std::{
    fs::Permissions,
    io,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::Mutex,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use umail_proto::{agent::Role, clock::Clock};

use self::{
    counts::{Counts, Sent},
    protocol::{Request, Stage},
    rules::Refused,
};
use crate::{
    address::without_tag,
    layout::Layout,
    ledger::Ledger,
    replica::{Reader, ReplicaError, Sender},
};

/// The user that Postfix's daemons run as.
const MAIL_OWNER: &str = "postfix";
/// How long to wait before the socket is made again.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How many addresses are looked at to see where one leads.
const HOPS_MAX: usize = 100;

/// Answers Postfix.
pub struct Sending {
    socket: PathBuf,
    layout: Layout,
    clock: Clock,
    ledger: Arc<Ledger>,
    reader: Mutex<Reader>,
    /// Opened when it is needed, and anew after an error.
    counts: Mutex<Option<Counts>>,
}

impl Sending {
    /// The answers of this node. The ledger says how many nodes share the limits.
    #[must_use]
    pub fn new(layout: Layout, clock: Clock, ledger: Arc<Ledger>) -> Self {
        let (socket, reader) = (layout.sending_socket(), Reader::new(&layout));
        let (reader, counts) = (Mutex::new(reader), Mutex::default());
        Self { socket, layout, clock, ledger, reader, counts }
    }

    /// Answers until it is told to stop.
    pub async fn serve(self: Arc<Self>, stop: CancellationToken) {
        let tracker = TaskTracker::new();
        while !stop.is_cancelled() {
            let served = match listen(&self.socket) {
                Ok(listener) => stop.run_until_cancelled(self.accept(&tracker, listener, &stop)),
                Err(error) => {
                    tracing::error!(%error, "nobody answers Postfix what users may send");
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(RETRY_AFTER) => {}
                    }
                    continue;
                }
            };
            served.await;
        }
        tracker.close();
        tracker.wait().await;
        // One that nobody listens on says the same to Postfix.
        std::fs::remove_file(&self.socket).ok();
    }

    async fn accept(
        self: &Arc<Self>,
        tracker: &TaskTracker,
        listener: UnixListener,
        stop: &CancellationToken,
    ) {
        loop {
            match listener.accept().await {
                Ok((stream, _address)) => {
                    let (sending, stop) = (Arc::clone(self), stop.clone());
                    tracker.spawn(async move {
                        // Whoever does not speak the protocol is not Postfix.
                        stop.run_until_cancelled(sending.talk(stream)).await;
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely: not a reason to spin.
                    tracing::warn!(%error, "Postfix cannot be answered");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn talk(&self, stream: UnixStream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        while let Some(request) = protocol::read(&mut stream).await? {
            let action = self.action(&request).await;
            stream.write_all(protocol::answer(&action).as_bytes()).await?;
        }
        Ok(())
    }

    /// What Postfix does: `DUNNO` leaves it to its other restrictions.
    async fn action(&self, request: &Request) -> String {
        match self.judge(request).await {
            Ok(None) => "DUNNO".to_owned(),
            Ok(Some(refused)) => {
                metrics::counter!("umail_agent_sending_refused_total").increment(1);
                refused.to_string()
            }
            Err(error) if request.is_about_group => {
                tracing::warn!(%error, "nobody knows who may write to a group");
                Refused::GroupUnknown.to_string()
            }
            Err(error) => {
                metrics::counter!("umail_agent_sending_unjudged_total").increment(1);
                tracing::warn!(%error, "a message is taken without asking what its user may send");
                "DUNNO".to_owned()
            }
        }
    }

    async fn judge(&self, request: &Request) -> Result<Option<Refused>, ReplicaError> {
        let sender = self.reader.lock().await.sender(&request.user).await?;
        let Some(sender) = sender else {
            return Ok(request.is_about_group.then_some(Refused::GroupUnknown));
        };
        match request.stage {
            Stage::Recipient if request.is_about_group => {
                let address = without_tag(&request.recipient);
                let mut reader = self.reader.lock().await;
                let group = reader.closed_group(&address, &sender.user_id).await?;
                Ok(rules::group(&sender, group.as_ref()))
            }
            Stage::Recipient => self.recipient(&sender, &request.recipient).await,
            Stage::Data | Stage::EndOfMessage => match rules::size(&sender, request.size_bytes) {
                Some(refused) => Ok(Some(refused)),
                None => self.amount(&sender, request).await,
            },
            Stage::Other => Ok(None),
        }
    }

    /// Whether the sender may write to this recipient.
    async fn recipient(
        &self,
        sender: &Sender,
        recipient: &str,
    ) -> Result<Option<Refused>, ReplicaError> {
        let mut reader = self.reader.lock().await;
        let hosted = reader.hosted(&without_tag(recipient)).await?;
        let refused = rules::recipient(sender, hosted.as_ref());
        if refused.is_some() || sender.sends_outside {
            return Ok(refused);
        }
        let mut next = hosted.map(|hosted| hosted.targets).unwrap_or_default();
        let mut seen = Vec::new();
        while let Some(target) = next.pop() {
            let target = without_tag(&target.to_ascii_lowercase());
            if seen.contains(&target) {
                continue;
            }
            match reader.hosted(&target).await? {
                Some(inside) if inside.domain_id == sender.domain_id && seen.len() < HOPS_MAX => {
                    next.extend(inside.targets);
                    seen.push(target);
                }
                _ => return Ok(Some(Refused::LeadsOutside)),
            }
        }
        Ok(None)
    }

    /// Whether the sender has sent too much; a message that has come to its end is counted.
    async fn amount(
        &self,
        sender: &Sender,
        request: &Request,
    ) -> Result<Option<Refused>, ReplicaError> {
        let now = self.clock.now().unix_timestamp();
        let mut slot = self.counts.lock().await;
        let mut counts = match slot.take() {
            Some(counts) => counts,
            None => Counts::open(&self.layout).await?,
        };
        let sent: Sent = counts.sent(&sender.user_id, now).await?;
        let refused = rules::amount(sender, &sent, request.recipients, self.nodes());
        if refused.is_none() && request.stage == Stage::EndOfMessage {
            counts.add(&sender.user_id, request.recipients, now).await?;
        }
        *slot = Some(counts);
        Ok(refused)
    }

    /// How many nodes take mail from users.
    fn nodes(&self) -> usize {
        let desired = self.ledger.desired();
        let peers = desired.iter().flat_map(|desired| &desired.peers);
        1 + peers.filter(|peer| peer.roles().any(|role| role == Role::Smtp)).count()
    }
}

/// Makes the socket, for Postfix alone.
fn listen(socket: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = socket.parent() {
        std::fs::create_dir_all(folder)?;
        std::fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    }
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, Permissions::from_mode(0o600))?;
    // A node without Postfix has nobody who asks.
    if let Ok(Some(owner)) = nix::unistd::User::from_name(MAIL_OWNER) {
        chown(socket, Some(owner.uid.as_raw()), None)?;
    }
    Ok(listener)
}

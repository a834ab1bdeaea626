//! A steady flow of numbered messages, with the retries of a real sender.

use std::{
    collections::{BTreeSet, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Result,
    mail::{Smtp, message},
};

/// Pause before a message that was refused for the moment is tried again.
const RETRY: Duration = Duration::from_millis(300);
/// How long the tail of retries may take.
const TAIL: Duration = Duration::from_secs(30);

/// Where the messages go and how fast.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The SMTP server.
    pub server: SocketAddr,
    /// Envelope sender.
    pub from: String,
    /// Recipients, in turn.
    pub to: Vec<String>,
    /// What distinguishes the Message-IDs of this flow from others.
    pub name: String,
    /// Messages a second.
    pub rate: u32,
}

/// What became of the messages.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// Message-IDs that the server accepted.
    pub accepted: BTreeSet<String>,
    /// Replies that refused a message for good.
    pub refused: Vec<String>,
    /// How many attempts were refused for the moment and repeated.
    pub deferred: usize,
    /// How many messages met a broken connection after the text had been sent.
    pub unclear: usize,
    /// Time from the first message to the last.
    pub duration: Duration,
}

/// A flow that runs in the background until it is told to stop.
#[derive(Debug)]
pub struct Flow {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Sent>,
    tracker: TaskTracker,
    sent: Arc<std::sync::atomic::AtomicUsize>,
}

impl Flow {
    /// Starts to send.
    #[must_use]
    pub fn start(plan: Plan) -> Self {
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let sender = Sender {
            plan,
            connection: None,
            waiting: VecDeque::new(),
            next: 0,
            sent: Sent::default(),
            count: Arc::clone(&sent),
        };
        let task = tracker.spawn(sender.run(stop.clone()));
        Self { stop, task, tracker, sent }
    }

    /// How many messages have been accepted so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.sent.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Waits until this many messages have been accepted.
    pub async fn reached(&self, count: usize, limit: Duration) -> Result {
        super::until(limit, async || {
            let accepted = self.accepted();
            let done = accepted >= count || self.task.is_finished();
            Ok(if done { Ok(()) } else { Err(format!("{accepted} of {count} accepted")) })
        })
        .await
    }

    /// Stops, after every message begun has been accepted or refused for good.
    pub async fn finish(self) -> Result<Sent> {
        self.stop.cancel();
        let sent = self.task.await?;
        self.tracker.close();
        Ok(sent)
    }
}

struct Sender {
    plan: Plan,
    connection: Option<Smtp>,
    waiting: VecDeque<(Instant, usize)>,
    next: usize,
    sent: Sent,
    count: Arc<std::sync::atomic::AtomicUsize>,
}

impl Sender {
    async fn run(mut self, stop: CancellationToken) -> Sent {
        let start = Instant::now();
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / self.plan.rate.max(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        while !stop.is_cancelled() {
            ticks.tick().await;
            self.send(self.next).await;
            self.next += 1;
            self.send_waiting(Instant::now()).await;
        }
        self.sent.duration = start.elapsed();
        let end = Instant::now() + TAIL;
        while !self.waiting.is_empty() && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(50)).await;
            self.send_waiting(Instant::now()).await;
        }
        for (_due, number) in &self.waiting {
            self.sent.refused.push(format!("message {number}: deferred for too long"));
        }
        self.sent
    }

    async fn send_waiting(&mut self, now: Instant) {
        while let Some((_due, number)) = self.waiting.pop_front_if(|(due, _number)| *due <= now) {
            self.send(number).await;
        }
    }

    async fn send(&mut self, number: usize) {
        let id = format!("{}-{number}@load.umail.test", self.plan.name);
        let to = self.plan.to.get(number % self.plan.to.len().max(1)).cloned().unwrap_or_default();
        let text = message(&self.plan.from, &to, &id, &format!("number {number}"));
        match self.transact(&to, &text).await {
            Ok(reply) if reply.is_positive() => {
                self.sent.accepted.insert(id);
                self.count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
            Ok(reply) if reply.is_transient() => {
                self.sent.deferred += 1;
                self.waiting.push_back((Instant::now() + RETRY, number));
            }
            Ok(reply) => self.sent.refused.push(format!("{} {}", reply.code, reply.text)),
            Err(_broken) => {
                self.connection = None;
                self.sent.unclear += 1;
                self.waiting.push_back((Instant::now() + RETRY, number));
            }
        }
    }

    async fn transact(&mut self, to: &str, text: &str) -> Result<super::mail::smtp::Reply> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => Smtp::connect(self.plan.server).await?,
        };
        let reply = self.connection.insert(connection).send(&self.plan.from, &[to], text).await?;
        if reply.code == 421 {
            self.connection = None;
        }
        Ok(reply)
    }
}

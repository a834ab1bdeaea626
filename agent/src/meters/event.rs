//! What a log line says that is worth counting.

use uuid::Uuid;

/// One happening on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// smtpd began a queue entry.
    Entered {
        queue_id: String,
        /// By an authenticated user.
        is_submission: bool,
    },
    /// The queue manager took an entry: it is on the disk, and this long.
    Queued { queue_id: String, bytes: u64 },
    /// A recipient of an entry was tried.
    Tried {
        queue_id: String,
        outcome: Outcome,
        /// The user whose mailbox has no room for it.
        full: Option<String>,
    },
    /// An entry left the queue.
    Removed { queue_id: String },
    /// A command was refused in the SMTP dialogue.
    Rejected,
    /// A whole message was, and its entry is never heard of again.
    GivenUp { queue_id: String },
    /// LMTP saved a message.
    Stored { user: String, bytes: u64 },
    /// Something else changed the size of a mailbox.
    Changed { user: String },
    /// A session ended.
    Session { protocol: Protocol, bytes: u64 },
    /// Somebody signed in.
    LoggedIn {
        user: String,
        address: String,
        /// With this app password, which this node has verified as the one that holds the mailbox.
        app_password: Option<Uuid>,
    },
    /// Somebody signed in to submission with the app password in this place of all those that are
    /// good for it.
    Submitting { user: String, address: String, place: u32, at: i64 },
    /// Somebody failed to.
    LoginFailed { user: String, address: String, attempts: u32 },
}

/// What became of a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Sent,
    Deferred,
    Bounced,
}

/// What a mail client spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Pop3,
    Imap,
}

/// The number at the beginning.
pub(super) fn number(text: &str) -> Option<u64> {
    let end = text.find(|one: char| !one.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

/// The number behind the last occurrence of this mark: what comes before may be chosen by strangers.
pub(super) fn last_number(text: &str, mark: &str) -> Option<u64> {
    number(text.rsplit_once(mark)?.1)
}

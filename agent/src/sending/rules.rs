//! The rules: pure, and the words in which Postfix tells the client.

use std::fmt;

use time::OffsetDateTime;
use umail_proto::agent::GroupPosting;

use super::counts::{Kind, Sent, WINDOWS};
use crate::replica::{ClosedGroup, Hosted, Sender};

/// All nodes together never let more through than this many times the limit.
const FACTOR: i64 = 2;

/// Why a message is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The sender writes to the own domain only.
    OwnDomainOnly,
    /// The address leads to another domain, and the sender writes to the own one only.
    LeadsOutside,
    /// The recipient gets mail from the own domain only.
    FromInsideOnly,
    /// The group is for users of its domain.
    GroupOfDomain,
    /// The group is for its members.
    GroupOfMembers,
    /// Nobody knows whether the sender may write to the group.
    GroupUnknown,
    /// The message is too large.
    Size {
        /// Its size.
        bytes: i64,
        /// The largest one.
        most: i64,
    },
    /// The message has more recipients than are let through in a window.
    TooMany {
        /// What a window lets through.
        limit: Limit,
    },
    /// As much as may be was sent already.
    Reached {
        /// What a window lets through.
        limit: Limit,
        /// When there is room again, in seconds since 1970.
        room_at: i64,
    },
}

/// What may be sent in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    kind: Kind,
    window: &'static str,
    /// By all nodes together.
    most: i64,
    /// Through this node.
    share: i64,
}

/// Whether the sender may write to this recipient; none: it is not of the fleet.
pub(super) fn recipient(sender: &Sender, hosted: Option<&Hosted>) -> Option<Refused> {
    let is_inside = hosted.is_some_and(|hosted| hosted.domain_id == sender.domain_id);
    let takes = hosted.is_none_or(|hosted| hosted.takes_from_outside);
    match (is_inside, sender.sends_outside, takes) {
        (false, false, _) => Some(Refused::OwnDomainOnly),
        (false, true, false) => Some(Refused::FromInsideOnly),
        _ => None,
    }
}

/// Whether the sender may write to this group; none: it is open.
pub(super) fn group(sender: &Sender, group: Option<&ClosedGroup>) -> Option<Refused> {
    let group = group?;
    match group.posting {
        GroupPosting::Anyone => None,
        GroupPosting::Domain => {
            (group.domain_id != sender.domain_id).then_some(Refused::GroupOfDomain)
        }
        GroupPosting::Members | GroupPosting::Unspecified => {
            (!group.has_member).then_some(Refused::GroupOfMembers)
        }
    }
}

/// Whether a message of this size may be sent.
pub(super) fn size(sender: &Sender, bytes: i64) -> Option<Refused> {
    let most = sender.message_size_bytes.filter(|most| bytes > *most)?;
    Some(Refused::Size { bytes, most })
}

/// Whether one more message to so many recipients may be sent through one of so many nodes.
pub(super) fn amount(
    sender: &Sender,
    sent: &Sent,
    recipients: i64,
    nodes: usize,
) -> Option<Refused> {
    let messages = (Kind::Messages, 1, sender.messages);
    for (kind, more, limits) in [messages, (Kind::Recipients, recipients, sender.recipients)] {
        for (window, most) in WINDOWS.into_iter().zip(limits) {
            let Some(most) = most else { continue };
            let share = share(most, nodes);
            let limit = Limit { kind, window: window.name, most, share };
            if more > share {
                return Some(Refused::TooMany { limit });
            }
            if let Some(room_at) = sent.room_at(window, kind, more, share) {
                return Some(Refused::Reached { limit, room_at });
            }
        }
    }
    None
}

/// What one of so many nodes lets through, of which each counts for itself: the whole limit while
/// there are no more than [`FACTOR`]; then an equal share of that many times the limit, at least 1.
fn share(most: i64, nodes: usize) -> i64 {
    let nodes = i64::try_from(nodes).unwrap_or(i64::MAX).max(1);
    if nodes <= FACTOR { most } else { (most.saturating_mul(FACTOR) / nodes).clamp(1, most) }
}

impl fmt::Display for Refused {
    /// An action of access(5).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnDomainOnly => f.write_str("554 5.7.1 You may write to your own domain only"),
            Self::LeadsOutside => f.write_str(
                "554 5.7.1 The address leads outside, and you may write to your own domain only",
            ),
            Self::FromInsideOnly => {
                f.write_str("550 5.7.1 The mailbox takes mail from inside only")
            }
            Self::GroupOfDomain => {
                f.write_str("550 5.7.1 Only users of its domain may write to the group")
            }
            Self::GroupOfMembers => {
                f.write_str("550 5.7.1 Only its members may write to the group")
            }
            Self::GroupUnknown => {
                f.write_str("450 4.3.0 Who may write to the group cannot be told now")
            }
            Self::Size { bytes, most } => write!(
                f,
                "552 5.3.4 The message has {bytes} bytes, and yours may have {most} at most"
            ),
            Self::TooMany { limit } => {
                write!(f, "550 5.5.3 The message alone is more than your limit of {limit}")
            }
            Self::Reached { limit, room_at } => {
                write!(f, "450 4.7.1 Your limit of {limit} is reached, try again after ")?;
                minute(f, *room_at)
            }
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Messages => "messages",
            Kind::Recipients => "recipients",
        };
        write!(f, "{} {kind} per {}", self.most, self.window)?;
        if self.share == self.most {
            return Ok(());
        }
        write!(f, " ({} through this server)", self.share)
    }
}

/// Writes the minute in which this time has come.
fn minute(f: &mut fmt::Formatter<'_>, seconds: i64) -> fmt::Result {
    let then = OffsetDateTime::from_unix_timestamp(seconds + 59).map_err(|_range| fmt::Error)?;
    let (date, hour, minute) = (then.date(), then.hour(), then.minute());
    write!(f, "{date} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(sends_outside: bool) -> Sender {
        Sender {
            user_id: "u".to_owned(),
            domain_id: "own".to_owned(),
            sends_outside,
            message_size_bytes: Some(1_000),
            messages: [Some(100), None],
            recipients: [None, Some(9)],
        }
    }

    fn hosted(domain: &str, takes_from_outside: bool) -> Hosted {
        Hosted { domain_id: domain.to_owned(), takes_from_outside, targets: Vec::new() }
    }

    #[test]
    fn inside_is_the_own_domain() {
        let (free, bound) = (sender(true), sender(false));
        for (sender, to, refused) in [
            (&free, None, None),
            (&bound, None, Some(Refused::OwnDomainOnly)),
            (&bound, Some(hosted("own", false)), None),
            (&bound, Some(hosted("other", true)), Some(Refused::OwnDomainOnly)),
            (&free, Some(hosted("other", true)), None),
            (&free, Some(hosted("other", false)), Some(Refused::FromInsideOnly)),
            (&free, Some(hosted("own", false)), None),
        ] {
            assert_eq!(recipient(sender, to.as_ref()), refused, "{to:?}");
        }
    }

    #[test]
    fn a_group_is_for_whom_it_says() {
        let closed = |posting, domain: &str, has_member| ClosedGroup {
            group_id: "g".to_owned(),
            domain_id: domain.to_owned(),
            posting,
            has_member,
        };
        let sender = sender(true);
        assert_eq!(group(&sender, None), None);
        for (posting, domain, has_member, refused) in [
            (GroupPosting::Domain, "own", false, None),
            (GroupPosting::Domain, "other", true, Some(Refused::GroupOfDomain)),
            (GroupPosting::Members, "other", true, None),
            (GroupPosting::Members, "own", false, Some(Refused::GroupOfMembers)),
            (GroupPosting::Unspecified, "own", false, Some(Refused::GroupOfMembers)),
        ] {
            let of = closed(posting, domain, has_member);
            assert_eq!(group(&sender, Some(&of)), refused, "{of:?}");
        }
    }

    #[test]
    fn nodes_together_let_through_twice_the_limit_at_most() {
        for nodes in 1..200_usize {
            for most in [1, 2, 7, 100, 1_000, i64::MAX] {
                let each = share(most, nodes);
                assert!((1..=most).contains(&each), "{most} by {nodes}: {each}");
                let all = i128::from(each) * i128::try_from(nodes).unwrap();
                // Where twice the limit is less than one for each node.
                let least = i128::try_from(nodes).unwrap();
                assert!(all <= (2 * i128::from(most)).max(least), "{most} by {nodes}: {all}");
            }
        }
        assert_eq!((share(100, 1), share(100, 2), share(100, 3), share(3, 10)), (100, 100, 66, 1));
    }

    #[test]
    fn a_refusal_names_the_limit_and_when_to_try_again() {
        let limit = Limit { kind: Kind::Messages, window: "hour", most: 100, share: 66 };
        let refused = Refused::Reached { limit, room_at: 1_700_049_601 };
        let text = "450 4.7.1 Your limit of 100 messages per hour (66 through this server) is \
                    reached, try again after 2023-11-15 12:01 UTC";
        assert_eq!(refused.to_string(), text);
        let refused = size(&sender(true), 1_001).unwrap().to_string();
        assert_eq!(
            refused,
            "552 5.3.4 The message has 1001 bytes, and yours may have 1000 at most"
        );
        assert_eq!(size(&sender(true), 1_000), None);
    }
}

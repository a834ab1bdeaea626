//! Security events that somebody could cause without end: the first is written, the rest counted.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::json;
use time::OffsetDateTime;
use umail_proto::ids::AuditEventId;
use uuid::Uuid;

use crate::model::audit::AuditEvent;

/// Different events in a minute that are about an account.
const KNOWN: usize = 100;
/// Different events in a minute that are about no account.
const UNKNOWN: usize = 20;

/// What makes two events the same but for their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    action: &'static str,
    about: Option<Uuid>,
    address: Option<IpAddr>,
    place: Option<Uuid>,
}

impl Key {
    /// Somebody did this to an account, or to none, from an address; of IPv6 the network counts.
    #[must_use]
    pub fn new(action: &'static str, about: Option<Uuid>, address: Option<IpAddr>) -> Self {
        let address = address.map(|address| match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => {
                let network = u128::from(address) >> 64 << 64;
                IpAddr::V6(Ipv6Addr::from(network))
            }
        });
        Self { action, about, address, place: None }
    }

    /// The same, in a department or domain: it is told there, whatever happened elsewhere.
    #[must_use]
    pub fn within(self, place: Option<Uuid>) -> Self {
        Self { place, ..self }
    }
}

/// The events of this minute, in the memory of this instance.
#[derive(Debug, Default)]
pub struct Repeats(Mutex<Minute>);

#[derive(Debug, Default)]
struct Minute {
    /// The first event of each kind, and how many there were after it.
    seen: HashMap<Key, (AuditEvent, u64)>,
    /// How many were more than are told apart, and one of them.
    others: Option<(AuditEvent, u64)>,
}

impl Repeats {
    /// Counts an event. It is to be written if it is the first of its kind in this minute, and not
    /// one of too many kinds.
    #[must_use]
    pub fn is_first(&self, key: Key, event: &AuditEvent) -> bool {
        let mut minute = self.lock();
        if let Some((_, repeated)) = minute.seen.get_mut(&key) {
            *repeated += 1;
            return false;
        }
        let limit = if key.about.is_some() { KNOWN } else { UNKNOWN };
        let alike = minute.seen.keys().filter(|one| match key.place {
            // By one account, so that it takes the places of no other.
            Some(_) => one.about == key.about,
            None => one.about.is_some() == key.about.is_some(),
        });
        if alike.count() >= limit {
            minute.others.get_or_insert_with(|| (event.clone(), 0)).1 += 1;
            return false;
        }
        minute.seen.insert(key, (event.clone(), 0));
        true
    }

    /// Ends the minute: events that say how many there were after those that were written.
    pub fn take(&self, now: OffsetDateTime) -> Vec<AuditEvent> {
        let minute = std::mem::take(&mut *self.lock());
        let again = |event: AuditEvent, after: serde_json::Value| AuditEvent {
            id: AuditEventId::generate(now),
            at: now,
            after: Some(after.to_string()),
            ..event
        };
        let seen = minute.seen.into_values().filter(|(_, repeated)| *repeated > 0);
        let seen = seen.map(|(event, repeated)| {
            let after = json!({"repeated": repeated, "first": event.id});
            again(event, after)
        });
        let others = minute.others.map(|(event, number)| {
            let event = AuditEvent { client_address: None, resource_id: None, ..event };
            let event = AuditEvent { domain_id: None, department_id: None, user_id: None, ..event };
            again(event, json!({"others": number}))
        });
        seen.chain(others).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Minute> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::audit::Kind;

    fn event(now: OffsetDateTime) -> AuditEvent {
        AuditEvent {
            id: AuditEventId::generate(now),
            at: now,
            kind: Kind::Security,
            actor_kind: "nobody".into(),
            actor_id: None,
            api_key_id: None,
            client_address: None,
            action: "sign_in_failed".into(),
            resource: "session".into(),
            resource_id: None,
            domain_id: None,
            department_id: None,
            user_id: None,
            before: None,
            after: None,
            request_id: String::new(),
        }
    }

    fn address(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }

    #[test]
    fn repeats_are_counted_and_told_at_the_end_of_the_minute() {
        let now = OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);
        let (repeats, event) = (Repeats::default(), event(now));
        let one = Key::new("sign_in_failed", None, address("2001:db8::1"));
        let network = Key::new("sign_in_failed", None, address("2001:db8::ffff"));
        let other = Key::new("sign_in_failed", None, address("2001:db8:0:1::1"));
        assert!(repeats.is_first(one, &event) && repeats.is_first(other, &event));
        assert!(!repeats.is_first(one, &event) && !repeats.is_first(network, &event));
        let told = repeats.take(now);
        assert_eq!(told.len(), 1);
        let after: serde_json::Value =
            serde_json::from_str(told[0].after.as_deref().unwrap()).unwrap();
        assert_eq!(after, json!({"repeated": 2, "first": event.id}));
        assert!(repeats.take(now).is_empty() && repeats.is_first(one, &event));
    }

    #[test]
    fn a_flood_is_no_more_than_so_many_events() {
        let now = OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);
        let (repeats, event) = (Repeats::default(), event(now));
        let mut written = 0;
        for number in 0..10_000_u32 {
            let from = Some(IpAddr::V4(number.into()));
            written += usize::from(repeats.is_first(Key::new("x", None, from), &event));
        }
        assert_eq!(written, UNKNOWN);
        let known = Key::new("x", Some(Uuid::nil()), None);
        assert!(repeats.is_first(known, &event), "what is about an account is not drowned");
        let told = repeats.take(now);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].after.as_deref(), Some(r#"{"others":9980}"#));
    }
}

//! Which app passwords are used, at most once an hour each: clients that poll use theirs all the
//! time.

use std::collections::{BTreeMap, HashMap};

use time::OffsetDateTime;
use umail_proto::agent::AppPasswordUse;
use uuid::Uuid;

/// Uses in one report; whoever is left out is told of at the next use.
const IN_A_REPORT: usize = 2_000;
/// App passwords that are remembered. With more of them some are told of more often.
const REMEMBERED: usize = 100_000;

/// Uses that wait for their report.
#[derive(Default)]
pub(super) struct AppPasswords {
    waiting: BTreeMap<Uuid, AppPasswordUse>,
    /// The hour in which each was told of last.
    told: HashMap<Uuid, i64>,
}

impl AppPasswords {
    /// Notes that somebody has signed in with this one.
    pub(super) fn used(&mut self, id: Uuid, client_address: &str, now: OffsetDateTime) {
        let hour = now.unix_timestamp() / 3600;
        if self.told.get(&id) == Some(&hour) || self.waiting.len() >= IN_A_REPORT {
            return;
        }
        if self.told.len() >= REMEMBERED {
            self.told.clear();
        }
        self.told.insert(id, hour);
        let used_at = prost_types::Timestamp { seconds: now.unix_timestamp(), nanos: 0 };
        let one = AppPasswordUse {
            credential_id: id.to_string(),
            used_at: Some(used_at),
            client_address: client_address.to_owned(),
        };
        self.waiting.insert(id, one);
    }

    /// What waits, sorted by the id.
    pub(super) fn waiting(&self) -> Vec<AppPasswordUse> {
        self.waiting.values().cloned().collect()
    }

    /// What waited is on the disk.
    pub(super) fn committed(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_told_of_once_an_hour() {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let start = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let mut uses = AppPasswords::default();
        let mut told = |id, minutes: i64| {
            uses.used(id, "192.0.2.1", start + time::Duration::minutes(minutes));
            let told = uses.waiting().len();
            uses.committed();
            told
        };
        assert_eq!([told(one, 0), told(one, 1), told(other, 1), told(one, 59)], [1, 0, 1, 0]);
        assert_eq!([told(one, 60), told(one, 61)], [1, 0]);
    }

    #[test]
    fn a_report_has_an_end() {
        let mut uses = AppPasswords::default();
        let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        for number in 0..=IN_A_REPORT as u128 {
            uses.used(Uuid::from_u128(number), "", now);
        }
        assert_eq!(uses.waiting().len(), IN_A_REPORT);
        uses.committed();
        uses.used(Uuid::from_u128(IN_A_REPORT as u128), "", now);
        assert_eq!(uses.waiting().len(), 1);
    }
}

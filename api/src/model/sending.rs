//! Limits of what users send: plans have them, and users narrower ones.

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use umail_api_types::{limit::SendingLimit, sending::SendingLimitName};

use crate::error::Violation;

/// A number for each of [`SendingLimitName::ALL`]; none: unlimited in a plan, and that of the plan
/// for a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendingLimits(pub [Option<i64>; 5]);

impl SendingLimits {
    /// The limit of the size of a message alone.
    #[must_use]
    pub const fn of_message_size(bytes: i64) -> Self {
        Self([Some(bytes), None, None, None, None])
    }

    /// The number of one limit.
    #[must_use]
    pub fn get(&self, limit: SendingLimitName) -> Option<i64> {
        self.0.get(limit as usize).copied().flatten()
    }

    /// The limits of a plan after some of them were set.
    #[must_use]
    pub fn set_to(self, asked: [Option<SendingLimit>; 5]) -> Self {
        let mut limits = self;
        for (limit, asked) in limits.0.iter_mut().zip(asked) {
            *limit = asked.map_or(*limit, SendingLimit::number);
        }
        limits
    }

    /// The limits of a user's own after some of them were asked for: each only narrows that of the
    /// plan.
    pub fn narrowed(
        self,
        asked: [Option<Option<i64>>; 5],
        plan: &Self,
    ) -> Result<Self, Vec<Violation>> {
        let (mut limits, mut violations) = (self, Vec::new());
        let names = SendingLimitName::ALL.into_iter().zip(plan.0);
        for ((limit, asked), (name, most)) in limits.0.iter_mut().zip(asked).zip(names) {
            let Some(own) = asked else { continue };
            match own.map(|own| parse_own(own, most)).transpose() {
                Ok(own) => *limit = own,
                Err(reason) => {
                    violations.push(Violation { field: format!("/{}", name.name()), reason });
                }
            }
        }
        if violations.is_empty() { Ok(limits) } else { Err(violations) }
    }
}

fn parse_own(own: i64, plan: Option<i64>) -> Result<i64, String> {
    match plan {
        _ if own < 1 => Err("must be at least 1; null is what the plan says".to_owned()),
        Some(most) if own > most => Err(format!("must be at most {most}, as the plan says")),
        _ => Ok(own),
    }
}

impl Serialize for SendingLimits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, limit) in SendingLimitName::ALL.into_iter().zip(self.0) {
            map.serialize_entry(name.name(), &limit)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_a_users_own_is_narrower_than_the_plans() {
        let plan = SendingLimits([None, Some(10), Some(100), None, None]);
        let own = SendingLimits::default()
            .narrowed([Some(Some(5)), Some(Some(10)), None, None, None], &plan)
            .unwrap();
        assert_eq!(own.0, [Some(5), Some(10), None, None, None]);
        let asked = [Some(None), Some(Some(11)), Some(Some(0)), None, None];
        let fields: Vec<_> =
            own.narrowed(asked, &plan).unwrap_err().into_iter().map(|one| one.field).collect();
        assert_eq!(fields, ["/messages_per_hour", "/messages_per_day"]);
        assert_eq!(own.narrowed([Some(None), None, None, None, None], &plan).unwrap().0[0], None);
    }

    #[test]
    fn a_plan_keeps_what_is_not_set() {
        let plan = SendingLimits([Some(1), Some(2), None, None, None]);
        let asked =
            [None, Some(SendingLimit::Unlimited), Some(SendingLimit::AtMost(3)), None, None];
        assert_eq!(plan.set_to(asked).0, [Some(1), None, Some(3), None, None]);
    }
}

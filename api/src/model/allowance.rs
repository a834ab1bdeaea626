//! Allowances: limits of a level, counters of what was given away, and the rule between both.

use std::{borrow::Cow, fmt, ops};

use serde::Serialize;
use umail_api_types::{allowances::LevelKind, limit::Limit};
use uuid::Uuid;

use crate::model::address::EmailAddress;

/// How much of each kind: given away, or to be given away; negative where it comes back.
#[derive(Clone, Copy, Debug, Default, Serialize, PartialEq, Eq)]
pub struct Amounts {
    /// Users.
    pub users: i64,
    /// Aliases.
    pub aliases: i64,
    /// Groups.
    pub groups: i64,
    /// Departments.
    pub departments: i64,
    /// The quotas of the users that have one.
    pub storage_bytes: i64,
    /// Users without a quota.
    pub unlimited_users: i64,
}

impl Amounts {
    /// Each kind with its name in the API, in a fixed order.
    fn named(&self) -> [(&'static str, i64); 6] {
        [
            ("users", self.users),
            ("aliases", self.aliases),
            ("groups", self.groups),
            ("departments", self.departments),
            ("storage_bytes", self.storage_bytes),
            ("unlimited_users", self.unlimited_users),
        ]
    }

    fn combine(self, other: Self, with: impl Fn(i64, i64) -> i64) -> Self {
        Self {
            users: with(self.users, other.users),
            aliases: with(self.aliases, other.aliases),
            groups: with(self.groups, other.groups),
            departments: with(self.departments, other.departments),
            storage_bytes: with(self.storage_bytes, other.storage_bytes),
            unlimited_users: with(self.unlimited_users, other.unlimited_users),
        }
    }
}

impl ops::Add for Amounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.combine(other, i64::saturating_add)
    }
}

impl ops::Sub for Amounts {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.combine(other, i64::saturating_sub)
    }
}

/// What may be given away at most.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq)]
pub struct Limits {
    /// Users.
    pub users: Limit,
    /// Aliases.
    pub aliases: Limit,
    /// Groups.
    pub groups: Limit,
    /// Departments.
    pub departments: Limit,
    /// The quotas of all users together.
    pub storage_bytes: Limit,
    /// How much more storage may be given away, in percent.
    pub overselling_percent: i32,
}

impl Limits {
    /// Nothing is limited.
    pub const NONE: Self = Self {
        users: Limit::Unlimited,
        aliases: Limit::Unlimited,
        groups: Limit::Unlimited,
        departments: Limit::Unlimited,
        storage_bytes: Limit::Unlimited,
        overselling_percent: 100,
    };

    /// The most that may be given away of each kind, in the order of [`Amounts::named`].
    fn most(&self) -> [Option<i64>; 6] {
        let storage = self.storage_bytes.number().map(|bytes| {
            let bytes = i128::from(bytes) * i128::from(self.overselling_percent) / 100;
            i64::try_from(bytes).unwrap_or(i64::MAX)
        });
        let number = Limit::number;
        let unlimited_users = storage.map(|_| 0);
        [
            number(self.users),
            number(self.aliases),
            number(self.groups),
            number(self.departments),
            storage,
            unlimited_users,
        ]
    }
}

/// An allowance of a level.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Allowance {
    /// The domain or department; nil: the system.
    pub id: Uuid,
    /// What it is.
    pub level: LevelKind,
    /// The name of the domain or department; empty: the system.
    pub name: String,
    /// What may be given away at most.
    pub limits: Limits,
    /// What has been given away.
    pub allocated: Amounts,
    /// Counts the changes of the limits.
    pub revision: i64,
}

impl Allowance {
    /// The allowance after this was given away, counted as the database counts.
    pub fn give(&self, asked: Amounts) -> Result<Self, Exceeded> {
        let after = Self { allocated: self.allocated + asked, ..self.clone() };
        after.check_given(asked).map(|()| after)
    }

    /// Refuses what has grown beyond its limit by this, which has been given away last; what has not
    /// grown may be beyond it, since limits can be lowered.
    pub fn check_given(&self, last: Amounts) -> Result<(), Exceeded> {
        let kinds = self.allocated.named().into_iter().zip(last.named());
        for (((kind, sum), (_, asked)), most) in kinds.zip(self.limits.most()) {
            // A sum that does not fit its column is beyond every limit.
            if asked > 0 && (sum == i64::MAX || most.is_some_and(|most| sum > most)) {
                let limit = most.unwrap_or(i64::MAX);
                return Err(self.exceeded(kind, limit, sum.saturating_sub(asked), asked));
            }
        }
        Ok(())
    }

    /// Refuses limits below what has been given away already.
    pub fn check(&self) -> Result<(), Exceeded> {
        self.beyond().next().map_or(Ok(()), Err)
    }

    /// By how much the storage that has been given away is beyond its limit.
    #[must_use]
    pub fn storage_exceeded(&self) -> Option<Exceeded> {
        self.beyond().find(|one| ["storage_bytes", "unlimited_users"].contains(&one.kind.as_ref()))
    }

    /// Every kind of which more has been given away than may be.
    pub fn beyond(&self) -> impl Iterator<Item = Exceeded> + '_ {
        let kinds = self.allocated.named().into_iter().zip(self.limits.most());
        kinds.filter_map(|((kind, allocated), most)| {
            let most = most.filter(|most| allocated > *most)?;
            Some(self.exceeded(kind, most, allocated, 0))
        })
    }

    /// The refusal of what is beyond a limit of this level.
    #[must_use]
    pub fn exceeded(
        &self,
        kind: impl Into<Cow<'static, str>>,
        limit: i64,
        allocated: i64,
        asked: i64,
    ) -> Exceeded {
        let (level, name) = (self.level, self.name.clone());
        Exceeded { level, name, kind: kind.into(), limit, allocated, asked }
    }
}

/// Which limit does not allow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// What the limit is of.
    pub level: LevelKind,
    /// The name of the level; empty: the system.
    pub name: String,
    /// What is limited.
    pub kind: Cow<'static, str>,
    /// The most that may be given away.
    pub limit: i64,
    /// What has been given away.
    pub allocated: i64,
    /// What was asked for in addition.
    pub asked: i64,
}

impl Exceeded {
    /// The refusal of one more than so many of a user.
    #[must_use]
    pub fn of_user(address: &EmailAddress, kind: &'static str, limit: i64) -> Self {
        let (level, name) = (LevelKind::User, address.to_string());
        Self { level, name, kind: kind.into(), limit, allocated: limit, asked: 1 }
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, limit, allocated, asked, .. } = self;
        match self.level {
            LevelKind::System => f.write_str("the system")?,
            LevelKind::Domain => write!(f, "domain {}", self.name)?,
            LevelKind::Department => write!(f, "department {}", self.name)?,
            LevelKind::User => write!(f, "user {}", self.name)?,
        }
        write!(
            f,
            " may have {limit} {kind}: {allocated} are allocated, {asked} more were asked for"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowance(limits: Limits, allocated: Amounts) -> Allowance {
        let (level, name) = (LevelKind::Department, "Sales".to_owned());
        Allowance { id: Uuid::max(), level, name, limits, allocated, revision: 1 }
    }

    const NONE: Limits = Limits::NONE;

    fn user(quota: Option<i64>) -> Amounts {
        let (storage_bytes, unlimited_users) = (quota.unwrap_or(0), i64::from(quota.is_none()));
        Amounts { users: 1, storage_bytes, unlimited_users, ..Amounts::default() }
    }

    #[test]
    fn a_limit_is_reached_and_not_passed() {
        let limits = Limits { users: Limit::AtMost(2), ..NONE };
        let one = allowance(limits, user(Some(5)));
        let two = one.give(user(None)).unwrap();
        assert_eq!(two.allocated.users, 2);
        let refused = two.give(user(Some(1))).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "department Sales may have 2 users: 2 are allocated, 1 more were asked for"
        );
    }

    #[test]
    fn what_is_beyond_its_limit_may_shrink_but_not_grow() {
        let limits = Limits { users: Limit::AtMost(0), ..NONE };
        let beyond = allowance(limits, Amounts { users: 3, ..Amounts::default() });
        assert_eq!(beyond.check().unwrap_err().kind, "users");
        let back = Amounts { users: -1, storage_bytes: 7, ..Amounts::default() };
        assert_eq!(beyond.give(back).unwrap().allocated.users, 2);
        assert!(beyond.give(user(None)).is_err());
    }

    #[test]
    fn storage_may_be_sold_beyond_its_limit_as_far_as_was_said() {
        let limits = Limits { storage_bytes: Limit::AtMost(100), overselling_percent: 150, ..NONE };
        let empty = allowance(limits, Amounts::default());
        assert!(empty.give(user(Some(150))).is_ok());
        assert_eq!(empty.give(user(Some(151))).unwrap_err().limit, 150);
        assert_eq!(empty.give(user(None)).unwrap_err().kind, "unlimited_users");
    }

    #[test]
    fn a_sum_that_does_not_fit_is_refused() {
        let full = allowance(NONE, user(Some(i64::MAX)));
        assert_eq!(full.give(user(Some(1))).unwrap_err().kind, "storage_bytes");
        assert!(full.give(user(None)).is_ok());
    }
}

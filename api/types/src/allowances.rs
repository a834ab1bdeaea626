//! Allowances: what a level may have at most, and what of it has been given away.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{limit::Limit, patch::present, plans::Seats};

/// What a level may have at most, and what of it has been given away.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Allowance {
    /// What the limits are of.
    pub level: LevelKind,
    /// How many users, those of the departments below and those that were deleted and not yet
    /// purged included.
    pub users: Limit,
    /// How many aliases. Departments have none.
    pub aliases: Limit,
    /// How many groups, those of the departments below included.
    pub groups: Limit,
    /// How many departments below.
    pub departments: Limit,
    /// How many bytes the quotas of the users may be together.
    pub storage_bytes: Limit,
    /// How much more storage may be given away than `storage_bytes`: 100 is not at all, 150 is
    /// half as much again.
    pub overselling_percent: u32,
    /// What has been given away.
    pub allocated: Allocated,
    /// Plans that users have, or that are limited.
    pub seats: Vec<Seats>,
}

/// What has been given away of an allowance. What mailboxes really hold is their usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Allocated {
    /// Users.
    pub users: i64,
    /// Aliases.
    pub aliases: i64,
    /// Groups.
    pub groups: i64,
    /// Departments.
    pub departments: i64,
    /// The quotas of the users that have one, together.
    pub storage_bytes: i64,
    /// Users without a quota.
    pub unlimited_users: i64,
}

/// What has an allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LevelKind {
    /// Everything. Counted only while it has a limit.
    System,
    /// A domain.
    Domain,
    /// A department with those below.
    Department,
    /// A user.
    User,
}

/// What of an allowance is to change (RFC 7396).
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowancePatch {
    /// How many users.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub users: Option<Limit>,
    /// How many aliases.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub aliases: Option<Limit>,
    /// How many groups.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub groups: Option<Limit>,
    /// How many departments below.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub departments: Option<Limit>,
    /// How many bytes the quotas of the users may be together.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub storage_bytes: Option<Limit>,
    /// How much more storage may be given away.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, minimum = 100, maximum = 10000)]
    pub overselling_percent: Option<u32>,
    /// How many users may have a plan, by its id or name; plans that are not named keep theirs.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub seats: Option<BTreeMap<String, Limit>>,
}

/// How a change of an allowance is meant.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AllowanceQuery {
    /// Whether a limit may be set below what has been given away already. Nothing is taken back
    /// then, and nothing more is given.
    #[param(nullable = false)]
    pub below_allocated: Option<bool>,
}

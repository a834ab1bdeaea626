//! Plans: what users get by default, and may not exceed.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use umail_proto::ids::{DomainId, PlanId};
use utoipa::{IntoParams, ToSchema};

use crate::{
    functions::FunctionName,
    limit::{Quota, SendingLimit},
    patch::present,
    problem::ExceededLimit,
};

/// A plan.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// Identifies the plan.
    pub id: PlanId,
    /// Its name.
    #[schema(example = "business")]
    pub name: String,
    /// How much a mailbox may hold.
    pub quota_bytes: Quota,
    /// How large a message may be that a user sends, with its headers.
    pub message_size_bytes: SendingLimit,
    /// How many messages a user may send in any hour.
    pub messages_per_hour: SendingLimit,
    /// How many messages a user may send in any day.
    pub messages_per_day: SendingLimit,
    /// To how many recipients a user may send in any hour.
    pub recipients_per_hour: SendingLimit,
    /// To how many recipients a user may send in any day.
    pub recipients_per_day: SendingLimit,
    /// What its users may use at most.
    pub functions: Vec<FunctionName>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was changed last.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// A plan to be.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPlan {
    /// Its name: lower-case letters, digits, `-` and `_`.
    #[schema(
        example = "business",
        min_length = 1,
        max_length = 64,
        pattern = "^[a-z0-9][a-z0-9_-]{0,63}$"
    )]
    pub name: String,
    /// How much a mailbox may hold.
    pub quota_bytes: Quota,
    /// How large a message may be that a user sends, with its headers; absent: any size.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub message_size_bytes: Option<SendingLimit>,
    /// How many messages a user may send in any hour; absent: any number.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub messages_per_hour: Option<SendingLimit>,
    /// How many messages a user may send in any day; absent: any number.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub messages_per_day: Option<SendingLimit>,
    /// To how many recipients a user may send in any hour; absent: any number.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub recipients_per_hour: Option<SendingLimit>,
    /// To how many recipients a user may send in any day; absent: any number.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub recipients_per_day: Option<SendingLimit>,
    /// What its users may use at most; absent: everything.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub functions: Option<Vec<FunctionName>>,
}

impl NewPlan {
    /// The limits of what users send, in the order of [`SendingLimitName::ALL`].
    ///
    /// [`SendingLimitName::ALL`]: crate::sending::SendingLimitName::ALL
    #[must_use]
    pub const fn sending(&self) -> [Option<SendingLimit>; 5] {
        [
            self.message_size_bytes,
            self.messages_per_hour,
            self.messages_per_day,
            self.recipients_per_hour,
            self.recipients_per_day,
        ]
    }
}

/// What of a plan is to change (RFC 7396).
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanPatch {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(
        nullable = false,
        min_length = 1,
        max_length = 64,
        pattern = "^[a-z0-9][a-z0-9_-]{0,63}$"
    )]
    pub name: Option<String>,
    /// How much a mailbox may hold.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub quota_bytes: Option<Quota>,
    /// How large a message may be that a user sends, with its headers.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub message_size_bytes: Option<SendingLimit>,
    /// How many messages a user may send in any hour.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub messages_per_hour: Option<SendingLimit>,
    /// How many messages a user may send in any day.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub messages_per_day: Option<SendingLimit>,
    /// To how many recipients a user may send in any hour.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub recipients_per_hour: Option<SendingLimit>,
    /// To how many recipients a user may send in any day.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub recipients_per_day: Option<SendingLimit>,
    /// What its users may use at most.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub functions: Option<Vec<FunctionName>>,
}

impl PlanPatch {
    /// The limits of what users send that change, in the order of [`SendingLimitName::ALL`].
    ///
    /// [`SendingLimitName::ALL`]: crate::sending::SendingLimitName::ALL
    #[must_use]
    pub const fn sending(&self) -> [Option<SendingLimit>; 5] {
        [
            self.message_size_bytes,
            self.messages_per_hour,
            self.messages_per_day,
            self.recipients_per_hour,
            self.recipients_per_day,
        ]
    }
}

/// How a change of a plan is meant.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PlanQuery {
    /// Only say whom the change would touch, and change nothing.
    #[param(nullable = false)]
    pub dry_run: Option<bool>,
    /// Change it even if a domain or department then has more storage than its allowance.
    #[param(nullable = false)]
    pub force: Option<bool>,
}

/// A change of a plan: what it leads to, and whom it touches.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PlanChange {
    /// The plan after the change.
    pub plan: Plan,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// How many users have the plan, those that were deleted and not yet purged included.
    pub users: i64,
    /// How many domains they are in.
    pub domain_count: i64,
    /// The first hundred of these, those with the most users first.
    pub domains: Vec<PlanDomain>,
    /// The first hundred allowances that the change goes beyond.
    pub exceeded: Vec<ExceededLimit>,
}

/// How many users of a domain have a plan.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PlanDomain {
    /// The domain.
    pub id: DomainId,
    /// Its name.
    pub name: String,
    /// How many.
    pub users: i64,
}

/// How many users of a level have a plan, and how many they may be.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Seats {
    /// The plan.
    pub plan_id: PlanId,
    /// Its name.
    pub plan: String,
    /// How many users may have it.
    pub limit: crate::limit::Limit,
    /// How many have it.
    pub users: i64,
}

//! Users: people's accounts with an address.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use umail_proto::ids::{DepartmentId, DomainId, NodeId, PlanId, UserId};
use utoipa::{IntoParams, ToSchema};

use crate::{functions::FunctionName, patch::present, status::Status};

/// What directories know of a person; empty: not known. Users change their own names, phone, locale
/// and time zone; the other fields are set by administrators.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// The name given to the person.
    #[schema(required = false, example = "Alice", max_length = 128)]
    pub given_name: String,
    /// The name of the family.
    #[schema(required = false, example = "Example", max_length = 128)]
    pub family_name: String,
    /// The number of the person in the organisation.
    #[schema(required = false, example = "4711", max_length = 64)]
    pub employee_number: String,
    /// What the person is in the organisation.
    #[schema(required = false, example = "Head of Sales", max_length = 128)]
    pub title: String,
    /// 3 to 20 digits, with `+` before and blanks, `(`, `)`, `-`, `.` and `/` between them.
    #[schema(required = false, example = "+43 1 234567", max_length = 40)]
    pub phone: String,
    /// A language tag (BCP 47).
    #[schema(required = false, example = "de-AT", max_length = 64)]
    pub locale: String,
    /// A name of the time zone database.
    #[schema(required = false, example = "Europe/Vienna", max_length = 64)]
    pub time_zone: String,
    /// What the directory that the person comes from knows it by; once in a domain.
    #[schema(required = false, max_length = 255)]
    pub external_id: String,
}

/// What of a profile is to change (RFC 7396); an empty text: not known any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfilePatch {
    /// The name given to the person.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, max_length = 128)]
    pub given_name: Option<String>,
    /// The name of the family.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, max_length = 128)]
    pub family_name: Option<String>,
    /// The number of the person in the organisation; for administrators.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, max_length = 64)]
    pub employee_number: Option<String>,
    /// What the person is in the organisation; for administrators.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, max_length = 128)]
    pub title: Option<String>,
    /// A phone number.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, max_length = 40)]
    pub phone: Option<String>,
    /// A language tag (BCP 47).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, max_length = 64)]
    pub locale: Option<String>,
    /// A name of the time zone database.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, max_length = 64)]
    pub time_zone: Option<String>,
    /// What another directory knows the person by; for administrators.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, max_length = 255)]
    pub external_id: Option<String>,
}

/// A user.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// Identifies the user.
    pub id: UserId,
    /// The address.
    #[schema(example = "alice@example.com")]
    pub address: String,
    /// The domain.
    pub domain_id: DomainId,
    /// The department; null: of the domain itself.
    pub department_id: Option<DepartmentId>,
    /// The name shown to people.
    #[schema(example = "Alice Example")]
    pub display_name: String,
    /// What directories know of the person.
    pub profile: Profile,
    /// What mail and sign-in do, as far as the user itself is concerned.
    pub status: Status,
    /// What the user itself may use at most; domain and departments narrow it.
    pub functions: Vec<FunctionName>,
    /// The plan.
    pub plan_id: PlanId,
    /// A quota of its own, narrower than that of the plan; null: the plan's.
    pub quota_bytes: Option<i64>,
    /// How large a message may be that the user sends, with its headers, narrower than the plan says; null: as the plan says.
    pub message_size_bytes: Option<i64>,
    /// How many messages the user may send in any hour, narrower than the plan says; null: as the plan says.
    pub messages_per_hour: Option<i64>,
    /// How many messages the user may send in any day, narrower than the plan says; null: as the plan says.
    pub messages_per_day: Option<i64>,
    /// To how many recipients the user may send in any hour, narrower than the plan says; null: as the plan says.
    pub recipients_per_hour: Option<i64>,
    /// To how many recipients the user may send in any day, narrower than the plan says; null: as the plan says.
    pub recipients_per_day: Option<i64>,
    /// The node that holds the mailbox; null: not placed yet.
    pub storage_node_id: Option<NodeId>,
    /// Its name.
    pub storage_node: Option<String>,
    /// Whether the mailbox is being moved: mail and sign-in wait for a moment.
    pub moving: bool,
    /// When it was deleted; null: it was not. The status is the one that holds again when it is
    /// restored.
    #[serde(with = "time::serde::rfc3339::option")]
    pub deleted_at: Option<OffsetDateTime>,
    /// When it can no longer be restored and is removed with its mailbox; null: it was not
    /// deleted.
    #[serde(with = "time::serde::rfc3339::option")]
    pub purge_at: Option<OffsetDateTime>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was changed last.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// A user to be.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// What stands before the `@`; lower-case, without `+`.
    #[schema(example = "alice", min_length = 1, max_length = 64)]
    pub local_part: String,
    /// As the settings want it: at least 10 characters, unless they say otherwise.
    #[schema(format = Password, min_length = 8, max_length = 256, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    pub password: String,
    /// Whether the user has to change the password first; mail does not wait for it.
    #[serde(default)]
    #[schema(required = false)]
    pub must_change_password: bool,
    /// The name shown to people.
    #[serde(default)]
    #[schema(example = "Alice Example", max_length = 128)]
    pub display_name: String,
    /// What directories know of the person.
    #[serde(default)]
    #[schema(required = false)]
    pub profile: Profile,
    /// A quota of its own, narrower than that of the plan; absent or null: the plan's.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub quota_bytes: Option<i64>,
    /// How large a message may be that the user sends, with its headers, narrower than the plan says; absent or null: as it says.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub message_size_bytes: Option<i64>,
    /// How many messages the user may send in any hour, narrower than the plan says; absent or null: as it says.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub messages_per_hour: Option<i64>,
    /// How many messages the user may send in any day, narrower than the plan says; absent or null: as it says.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub messages_per_day: Option<i64>,
    /// To how many recipients the user may send in any hour, narrower than the plan says; absent or null: as it says.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub recipients_per_hour: Option<i64>,
    /// To how many recipients the user may send in any day, narrower than the plan says; absent or null: as it says.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub recipients_per_day: Option<i64>,
    /// The plan; absent or null: that of the department, or of one above it, or the standard one.
    #[serde(default)]
    pub plan_id: Option<PlanId>,
    /// The department; absent or null: of the domain itself.
    #[serde(default)]
    pub department_id: Option<DepartmentId>,
    /// Id or name of the node that is to hold the mailbox, for system administrators; absent or
    /// null: the one with the fewest users.
    #[serde(default)]
    #[schema(max_length = 253)]
    pub storage_node: Option<String>,
}

impl NewUser {
    /// The limits of what the user sends, in the order of [`SendingLimitName::ALL`].
    ///
    /// [`SendingLimitName::ALL`]: crate::sending::SendingLimitName::ALL
    #[must_use]
    pub const fn sending(&self) -> [Option<i64>; 5] {
        [
            self.message_size_bytes,
            self.messages_per_hour,
            self.messages_per_day,
            self.recipients_per_hour,
            self.recipients_per_day,
        ]
    }
}

/// What of a user is to change (RFC 7396).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserPatch {
    /// Another address in the same domain: what stands before the `@`. The mailbox stays as it is,
    /// and the old address becomes an alias, unless `leave_alias=false`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 64)]
    pub local_part: Option<String>,
    /// The name shown to people.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, max_length = 128)]
    pub display_name: Option<String>,
    /// What directories know of the person; only the fields that are given change.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub profile: Option<ProfilePatch>,
    /// What mail and sign-in do.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub status: Option<Status>,
    /// What the user may use at most.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub functions: Option<Vec<FunctionName>>,
    /// The plan.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub plan_id: Option<PlanId>,
    /// A quota of its own, narrower than that of the plan; null: the plan's.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(value_type = Option<i64>, minimum = 1)]
    pub quota_bytes: Option<Option<i64>>,
    /// How large a message may be that the user sends, with its headers, narrower than the plan says; null: as it says.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(value_type = Option<i64>, minimum = 1)]
    pub message_size_bytes: Option<Option<i64>>,
    /// How many messages the user may send in any hour, narrower than the plan says; null: as it says.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(value_type = Option<i64>, minimum = 1)]
    pub messages_per_hour: Option<Option<i64>>,
    /// How many messages the user may send in any day, narrower than the plan says; null: as it says.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(value_type = Option<i64>, minimum = 1)]
    pub messages_per_day: Option<Option<i64>>,
    /// To how many recipients the user may send in any hour, narrower than the plan says; null: as it says.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(value_type = Option<i64>, minimum = 1)]
    pub recipients_per_hour: Option<Option<i64>>,
    /// To how many recipients the user may send in any day, narrower than the plan says; null: as it says.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(value_type = Option<i64>, minimum = 1)]
    pub recipients_per_day: Option<Option<i64>>,
    /// The department; null: of the domain itself.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(value_type = Option<DepartmentId>)]
    pub department_id: Option<Option<DepartmentId>>,
}

impl UserPatch {
    /// The limits of what the user sends that change, in the order of [`SendingLimitName::ALL`].
    ///
    /// [`SendingLimitName::ALL`]: crate::sending::SendingLimitName::ALL
    #[must_use]
    pub const fn sending(&self) -> [Option<Option<i64>>; 5] {
        [
            self.message_size_bytes,
            self.messages_per_hour,
            self.messages_per_day,
            self.recipients_per_hour,
            self.recipients_per_day,
        ]
    }
}

/// A new password, set by an administrator.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// As the settings want it: at least 10 characters, unless they say otherwise.
    #[schema(format = Password, min_length = 8, max_length = 256, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    pub new_password: String,
    /// Whether the user has to change it first; mail does not wait for it. True when absent.
    #[serde(default = "yes")]
    #[schema(required = false, default = true)]
    pub must_change: bool,
}

const fn yes() -> bool {
    true
}

/// What becomes of the old address of a user who gets another one.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RenameQuery {
    /// Whether it becomes an alias of the user; true when absent. False: it is free for others.
    #[param(nullable = false)]
    pub leave_alias: Option<bool>,
}

/// Which users of a domain are wanted.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct UserFilter {
    /// Only users of this department; those below only with `include_subdepartments`.
    #[param(nullable = false)]
    pub department_id: Option<DepartmentId>,
    /// Whether users of the departments below that one are meant as well; false when absent.
    #[param(nullable = false)]
    pub include_subdepartments: Option<bool>,
    /// Only the user that another directory knows by this.
    #[param(nullable = false, min_length = 1, max_length = 255)]
    pub external_id: Option<String>,
    /// Those that were deleted and can be restored still; the others when absent or false.
    #[param(nullable = false)]
    pub deleted: Option<bool>,
    /// Only users with this status.
    #[param(nullable = false)]
    pub status: Option<Status>,
    /// Only users with this plan.
    #[param(nullable = false)]
    pub plan_id: Option<PlanId>,
    /// Only users whose address or names have this. Three characters or more may be anywhere in
    /// them, fewer begin the address or a word of the names; upper and lower case are the same. With
    /// an `@`, what is before it ends the local part, and what is behind it begins the domain.
    #[param(nullable = false, min_length = 1, max_length = 254)]
    pub search: Option<String>,
    /// Whether to say how many there are, up to 10,000.
    #[param(nullable = false)]
    pub count: Option<bool>,
}

/// Where mail of a user goes besides, or instead of, the mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Forwarding {
    /// Addresses; none: nothing is forwarded.
    #[schema(max_items = 100)]
    pub targets: Vec<String>,
    /// Whether the mailbox gets a copy as well; true when nothing is forwarded.
    pub keep_copy: bool,
}

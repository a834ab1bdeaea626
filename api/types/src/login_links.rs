//! Login links: by which a portal that knows a user lets the user in, once, without the password.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use umail_proto::ids::{ApiKeyId, LoginLinkId, UserId};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{me::CallerKind, patch::present};

/// A login link to be.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLoginLink {
    /// How long it shall be good; absent: for 60 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, minimum = 1, maximum = 300)]
    pub lifetime_seconds: Option<u32>,
}

/// A login link that was made, with its secret, which is shown this once.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LoginLinkCreated {
    /// Identifies the link, also in audit events.
    pub id: LoginLinkId,
    /// Whom it lets in.
    pub user_id: UserId,
    /// Send it to `POST /v1/sessions/login_link`; good once.
    #[schema(example = "uml_Q29mZmVl")]
    pub login_link: String,
    /// Until when it is good.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
}

/// A login link that is to be redeemed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginLinkRedemption {
    /// The secret of the link.
    #[schema(max_length = 1024)]
    pub login_link: String,
    /// What the authenticator shows, or a recovery code; for whoever has a second factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "287082", max_length = 32)]
    pub totp: Option<String>,
}

/// Whoever made the login link that a session was begun with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LinkMaker {
    /// What the maker is.
    pub kind: CallerKind,
    /// Which operator or user.
    pub id: Uuid,
    /// The API key by which the link was made on behalf of the maker; null: in a session.
    pub api_key_id: Option<ApiKeyId>,
}

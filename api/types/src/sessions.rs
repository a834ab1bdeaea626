//! Signing in and staying signed in.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use umail_proto::ids::SessionId;
use utoipa::ToSchema;

use crate::login_links::LinkMaker;

/// Who signs in.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSession {
    /// Name of an operator, or address of a user.
    #[schema(example = "root", max_length = 320)]
    pub name: String,
    /// The password.
    #[schema(format = Password, max_length = 256, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    pub password: String,
    /// What the authenticator shows, or a recovery code; for whoever has a second factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "287082", max_length = 32)]
    pub totp: Option<String>,
}

/// The refresh token that was given last.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshSession {
    /// It is good once; the answer holds the next one.
    #[schema(max_length = 1024)]
    pub refresh_token: String,
}

/// What a client carries from now on.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Goes into the header `Authorization: Bearer …`.
    pub access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    pub token_type: String,
    /// How long the access token is good.
    #[schema(example = 900)]
    pub expires_in_seconds: u32,
    /// Gets the next access token; good once.
    pub refresh_token: String,
}

/// How somebody has signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Means {
    /// With the own name and password.
    Password,
    /// By a login link that somebody else made.
    LoginLink,
}

/// Where somebody is signed in.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SignIn {
    /// Identifies the session.
    pub id: SessionId,
    /// Whether it is the session of this request.
    pub is_current: bool,
    /// How it was begun.
    pub means: Means,
    /// Who made the login link; null: there was none.
    pub made_by: Option<LinkMaker>,
    /// The address that it was begun or refreshed from last; null: from before this was noted.
    #[schema(example = "192.0.2.7")]
    pub client_address: Option<String>,
    /// What the client called itself then; empty: nothing.
    pub user_agent: String,
    /// When it was begun.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was used last, to the minute.
    #[serde(with = "time::serde::rfc3339")]
    pub last_used_at: OffsetDateTime,
    /// When it ends by itself.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
}

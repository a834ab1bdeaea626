//! App passwords: long random ones, for programs that sign in all the time.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use umail_proto::ids::CredentialId;
use utoipa::ToSchema;

use crate::{functions::FunctionName, patch::present};

/// An app password. The password itself is shown once, when it is made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AppPassword {
    /// Identifies the app password.
    pub id: CredentialId,
    /// What it is for.
    #[schema(example = "phone")]
    pub label: String,
    /// What it is good for: `pop3`, `imap`, `submission`.
    pub functions: Vec<FunctionName>,
    /// Until when it is good; null: until it is removed.
    #[serde(with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When somebody signed in with it, accurate to an hour; null: not yet, as far as the nodes have
    /// told.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_used_at: Option<OffsetDateTime>,
    /// From which address; null: not known.
    #[schema(example = "192.0.2.7")]
    pub last_client_address: Option<String>,
}

/// An app password with the password itself.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AppPasswordCreated {
    /// The app password.
    #[serde(flatten)]
    pub app_password: AppPassword,
    /// Shown this once; the hyphens belong to it.
    #[schema(example = "k7pq-2mzd-x4nf-8hcw-t6bj-r3vs-9gya")]
    pub password: String,
}

/// An app password to be.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAppPassword {
    /// What it is for.
    #[schema(example = "phone", min_length = 1, max_length = 64)]
    pub label: String,
    /// What it is good for, of `pop3`, `imap` and `submission`; absent: every protocol that the user
    /// may use.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_items = 1)]
    pub functions: Option<Vec<FunctionName>>,
    /// Until when it is good; absent or null: until it is removed.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
}

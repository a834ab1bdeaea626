//! Second factors: codes that change every half minute (RFC 6238), and recovery codes.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

/// The second factor of the caller.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Totp {
    /// Whether a code is needed to sign in.
    pub enrolled: bool,
    /// Since when; null: it is not.
    #[serde(with = "time::serde::rfc3339::option")]
    pub confirmed_at: Option<OffsetDateTime>,
    /// Recovery codes that were not used.
    pub recovery_codes_left: i64,
}

/// Proof that it is the caller who enrols.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTotp {
    /// The password that is good now.
    #[schema(format = Password, max_length = 256, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    pub current_password: String,
}

/// A second factor that was enrolled, and is of no effect until it is confirmed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TotpSecret {
    /// To be typed into an authenticator; shown this once.
    #[schema(example = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")]
    pub secret: String,
    /// To be scanned by one.
    #[schema(
        example = "otpauth://totp/U-Mail:root?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=U-Mail"
    )]
    pub uri: String,
}

/// The first code.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TotpConfirmation {
    /// What the authenticator shows.
    #[schema(example = "287082", max_length = 32)]
    pub code: String,
}

/// The recovery codes of whoever has confirmed a second factor.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RecoveryCodes {
    /// Each is good once in the place of a code; shown this once.
    #[schema(example = json!(["k7pq-2mzd-x4nf-8hcw"]))]
    pub recovery_codes: Vec<String>,
}

/// Proof that it is the caller who does without a second factor.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TotpRemoval {
    /// The password that is good now.
    #[schema(format = Password, max_length = 256, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    pub current_password: String,
    /// What the authenticator shows, or a recovery code.
    #[schema(example = "287082", max_length = 32)]
    pub code: String,
}

//! Login links: whom they let in, once, and until when.

use serde::Serialize;
use time::{Duration, OffsetDateTime};
use umail_proto::ids::{ApiKeyId, LoginLinkId, SessionId, UserId};

/// What secrets begin with.
pub const PREFIX: &str = "uml_";
/// Links of one user that are good at the same time, at most.
pub const MAX_LINKS: i64 = 10;
/// How long a session lasts that was begun by a link: who is known to a portal comes back by it.
pub const SESSION_LIFETIME: Duration = Duration::hours(12);
const DEFAULT_SECONDS: u32 = 60;
const MAX_SECONDS: u32 = 300;

/// A login link, without the secret.
#[derive(Clone, Debug, Serialize)]
pub struct LoginLink {
    /// Identifies it.
    pub id: LoginLinkId,
    /// Whom it lets in.
    pub user_id: UserId,
    /// By which session or key it was made, without which it is not good.
    #[serde(skip)]
    pub made_with: MadeWith,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Until when it is good.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// When it was used up.
    #[serde(skip)]
    pub redeemed_at: Option<OffsetDateTime>,
}

/// What the maker of a link was known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadeWith {
    /// A session.
    Session(SessionId),
    /// An API key.
    ApiKey(ApiKeyId),
}

impl LoginLink {
    /// Whether it can be redeemed, as far as time and use are concerned.
    #[must_use]
    pub fn is_open(&self, now: OffsetDateTime) -> bool {
        self.redeemed_at.is_none() && self.expires_at > now
    }
}

/// How long a link is good.
pub fn parse_lifetime(seconds: Option<u32>) -> Result<Duration, String> {
    let seconds = seconds.unwrap_or(DEFAULT_SECONDS);
    if !(1..=MAX_SECONDS).contains(&seconds) {
        return Err(format!("must be 1 to {MAX_SECONDS}"));
    }
    Ok(Duration::seconds(seconds.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_good_for_minutes_at_most() {
        assert_eq!(parse_lifetime(None), Ok(Duration::minutes(1)));
        assert_eq!(parse_lifetime(Some(300)), Ok(Duration::minutes(5)));
        assert!(parse_lifetime(Some(0)).is_err() && parse_lifetime(Some(301)).is_err());
    }
}

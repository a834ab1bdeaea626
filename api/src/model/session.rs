//! Sessions: who is signed in, from where.

use std::net::IpAddr;

use time::OffsetDateTime;
use umail_api_types::me::CallerKind;
pub use umail_api_types::{login_links::LinkMaker, me::Confinement};
use umail_proto::ids::{ApiKeyId, SessionId};
use uuid::Uuid;

use crate::model::text;

const MAX_USER_AGENT: usize = 256;

/// Where a request comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// The address at the other end of the connection.
    pub address: Option<IpAddr>,
    /// What the client calls itself; empty: nothing.
    pub user_agent: String,
}

impl Client {
    /// A client that calls itself this; what cannot be shown is left out.
    #[must_use]
    pub fn new(address: Option<IpAddr>, user_agent: &str) -> Self {
        let shown = user_agent.chars().filter(|one| !one.is_control()).take(MAX_USER_AGENT);
        let user_agent = text::line(&shown.collect::<String>(), MAX_USER_AGENT);
        // IPv4 on a socket for both is IPv4 all the same.
        let address = address.map(|address| address.to_canonical());
        Self { address, user_agent: user_agent.unwrap_or_default() }
    }
}

/// A session that is good.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// Identifies it.
    pub id: SessionId,
    /// Who made the login link that it was begun with; nothing: it was begun with a password.
    pub made_by: Option<LinkMaker>,
    /// Where it was begun or refreshed last.
    pub client_address: Option<String>,
    /// What the client called itself.
    pub user_agent: String,
    /// When it was begun.
    pub created_at: OffsetDateTime,
    /// When it was used last, to the minute.
    pub last_used_at: OffsetDateTime,
    /// When it ends by itself.
    pub expires_at: OffsetDateTime,
}

/// Whoever made a login link, as it is stored.
#[must_use]
pub fn link_maker(
    id: Option<Uuid>,
    by_operator: Option<bool>,
    api_key_id: Option<ApiKeyId>,
) -> Option<LinkMaker> {
    let kind = if by_operator? { CallerKind::Operator } else { CallerKind::User };
    Some(LinkMaker { kind, id: id?, api_key_id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_described_in_one_line() {
        let address = "::ffff:192.0.2.7".parse().ok();
        let client = Client::new(address, &format!("a\nb\u{202e}{}", "x".repeat(999)));
        assert_eq!(client.address, "192.0.2.7".parse().ok());
        assert_eq!(client.user_agent, "");
        assert_eq!(Client::new(None, "a\nb").user_agent, "ab");
        assert_eq!(Client::new(None, &"x".repeat(999)).user_agent.len(), MAX_USER_AGENT);
    }
}

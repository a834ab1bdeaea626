//! Proxies before the server: which are believed, and where a request then comes from.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

use crate::model::network::Network;

/// The header in which proxies say whom they speak for. One, since a proxy that writes the one lets
/// the other through as its client has sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeader {
    /// Addresses, the nearest one last.
    #[default]
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
}

impl ProxyHeader {
    /// Its name, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }
}

/// The proxies that are believed.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// Where they are; none: nobody is believed.
    pub trusted: Vec<Network>,
    /// What they write.
    pub header: ProxyHeader,
}

impl Proxies {
    /// Where a request comes from: the nearest address that no trusted proxy has. `lines` are those
    /// of the header, from the first to the last; one that is no text is none. It is read from its
    /// end, and no further than somebody can be believed: what stands before was written by anybody.
    #[must_use]
    pub fn client(&self, peer: IpAddr, lines: &[Option<&str>]) -> IpAddr {
        let hops = lines.iter().rev().flat_map(|line| line.unwrap_or_default().rsplit(','));
        let mut client = peer.to_canonical();
        for hop in hops {
            if !self.trusted.iter().any(|network| network.contains(client)) {
                break;
            }
            let named = match self.header {
                ProxyHeader::XForwardedFor => node(hop.trim()),
                ProxyHeader::Forwarded => element(hop),
            };
            let Some(named) = named else { break };
            client = named.to_canonical();
        }
        client
    }
}

/// An address, maybe with a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn node(text: &str) -> Option<IpAddr> {
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    text.parse().ok().or_else(with_port).or_else(bare)
}

/// The `for` of an element such as `for="[2001:db8::1]:80";proto=https`. All of it must be well
/// formed: half of a text in quotes, cut at a comma, is somebody else's.
fn element(text: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in text.split(';') {
        let (name, value) = pair.trim().split_once('=')?;
        let inside = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let is_good = match inside {
            Some(text) => !text.contains(['"', '\\']),
            None => !value.is_empty() && value.bytes().all(is_token),
        };
        if !is_good || !name.bytes().all(is_token) {
            return None;
        }
        if name.eq_ignore_ascii_case("for") {
            if found.is_some() {
                return None;
            }
            found = Some(node(inside.unwrap_or(value))?);
        }
    }
    found
}

/// What RFC 9110 lets stand without quotes.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(header: ProxyHeader) -> Proxies {
        let trusted = ["10.0.0.0/8", "127.0.0.1", "fd00::/8"].map(|one| one.parse().unwrap());
        Proxies { trusted: trusted.into(), header }
    }

    fn client(header: ProxyHeader, peer: &str, lines: &[&str]) -> String {
        let lines: Vec<_> = lines.iter().map(|line| Some(*line)).collect();
        proxies(header).client(peer.parse().unwrap(), &lines).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed_and_from_the_nearest_on() {
        use ProxyHeader::XForwardedFor as Header;
        for (peer, lines, expected) in [
            // Who is no proxy says nothing of others.
            ("192.0.2.1", &["198.51.100.1"][..], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1"),
            // What a client has sent itself stands before.
            ("10.0.0.1", &["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["127.0.0.1, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["203.0.113.9", "198.51.100.1"], "198.51.100.1"),
            // Several proxies, one after the other.
            ("10.0.0.1", &["203.0.113.9, 198.51.100.1, 10.0.0.2", "fd00::1"], "198.51.100.1"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            // Whom nobody understands, nobody believes.
            ("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, "], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1 203.0.113.9"], "10.0.0.1"),
            ("10.0.0.1", &["x, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["2001:db8::1"], "2001:db8::1"),
            ("10.0.0.1", &["198.51.100.1:x"], "10.0.0.1"),
            ("10.0.0.1", &["[198.51.100.1]"], "10.0.0.1"),
            ("10.0.0.1", &["0x7f.1"], "10.0.0.1"),
        ] {
            assert_eq!(client(Header, peer, lines), expected, "{peer} {lines:?}");
        }
        let no_text = proxies(Header).client([10, 0, 0, 1].into(), &[Some("198.51.100.1"), None]);
        assert_eq!(no_text.to_string(), "10.0.0.1");
        let nobody = Proxies::default().client([127, 0, 0, 1].into(), &[Some("198.51.100.1")]);
        assert_eq!(nobody.to_string(), "127.0.0.1");
    }

    #[test]
    fn a_client_cannot_hide_in_quotes() {
        use ProxyHeader::Forwarded as Header;
        for (lines, expected) in [
            (&["for=198.51.100.1"][..], "198.51.100.1"),
            (&["For=\"[2001:db8::1]:80\";proto=https;by=10.0.0.1"], "2001:db8::1"),
            (&["for=203.0.113.9, proto=http; for=\"198.51.100.1:80\""], "198.51.100.1"),
            // It has begun a text that the proxy's part would end.
            (&["for=\"203.0.113.9, for=198.51.100.1"], "198.51.100.1"),
            (&["for=203.0.113.9;x=\"", "for=198.51.100.1"], "198.51.100.1"),
            // The proxy has quoted what its client called the host.
            (&["for=198.51.100.1;host=\"a,for=203.0.113.9\""], "10.0.0.1"),
            (&["for=198.51.100.1;host=\"a,for=203.0.113.9;b=\""], "10.0.0.1"),
            (&["for=198.51.100.1;host=\"a,for=203.0.113.9;b=\\\"\""], "10.0.0.1"),
            (&["for=_hidden"], "10.0.0.1"),
            (&["for=unknown"], "10.0.0.1"),
            (&["proto=https"], "10.0.0.1"),
            (&["for=198.51.100.1;for=203.0.113.9"], "10.0.0.1"),
            (&["for=2001:db8::1"], "10.0.0.1"),
            (&["198.51.100.1"], "10.0.0.1"),
            (&[""], "10.0.0.1"),
        ] {
            assert_eq!(client(Header, "10.0.0.1", lines), expected, "{lines:?}");
        }
    }
}

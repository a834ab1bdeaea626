//! Domain names and addresses: parsed once, canonical ever after.

use std::{fmt, net::IpAddr};

use serde::Serialize;

/// Local parts that speak for a whole domain: by RFC 2142, and those to whose mailbox certificate
/// authorities send what proves that somebody controls it (CA/Browser Forum, Baseline Requirements
/// 3.2.2.4.4).
const OFFICIAL: [&str; 8] =
    ["abuse", "admin", "administrator", "hostmaster", "noc", "postmaster", "security", "webmaster"];
/// Octets of an address.
const LONGEST_ADDRESS: usize = 254;
/// Octets before the `@`.
const LONGEST_LOCAL_PART: usize = 64;
/// Octets of the name of a domain of ours.
const LONGEST_HOSTED: usize = LONGEST_ADDRESS - 1 - LONGEST_LOCAL_PART;

/// A domain name: lower-case ASCII, international labels as `xn--`, at least two labels, no
/// trailing dot. Two spellings of one name are one value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct DomainName(String);

impl DomainName {
    /// Reads a name; the reason says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > 1024 {
            return Err("must have at most 253 characters".to_owned());
        }
        let text = text.strip_suffix('.').unwrap_or(text);
        let name = idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::STD3)
            .map_err(|_cause| "must be a domain name".to_owned())?;
        // A name that its own decoding encodes differently would have two owners.
        let (unicode, decoded) = idna::domain_to_unicode(&name);
        if decoded.is_err() || idna::domain_to_ascii(&unicode).ok().as_deref() != Some(&*name) {
            return Err("must be a domain name".to_owned());
        }
        let good_label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|one| one.is_ascii_alphanumeric() || one == b'-')
        };
        if name.len() > 253 || !name.contains('.') || !name.split('.').all(good_label) {
            return Err("must be a domain name of at least two labels".to_owned());
        }
        if name.parse::<IpAddr>().is_ok() || ends_in_number(&name) {
            return Err("must be a domain name, not an IP address".to_owned());
        }
        Ok(Self(name.into_owned()))
    }

    /// Reads a name that we are to host: every local part fits before it.
    pub fn parse_hosted(text: &str) -> Result<Self, String> {
        let name = Self::parse(text)?;
        if name.0.len() > LONGEST_HOSTED {
            return Err(format!("must have at most {LONGEST_HOSTED} characters"));
        }
        Ok(name)
    }

    /// The canonical name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn ends_in_number(name: &str) -> bool {
    name.rsplit('.').next().is_some_and(|last| last.bytes().all(|one| one.is_ascii_digit()))
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The part of an address before the `@`: lower-case ASCII. `+` begins a tag that the sender
/// chose, so no name contains it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct LocalPart(String);

impl LocalPart {
    /// Reads the local part of one of our addresses.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = dot_atom(text)?.to_ascii_lowercase();
        if text.contains('+') {
            return Err("must not contain +, which begins a tag".to_owned());
        }
        Ok(Self(text))
    }

    /// Whether it speaks for all of its domain.
    #[must_use]
    pub fn is_official(&self) -> bool {
        OFFICIAL.contains(&self.as_str())
    }

    /// The canonical local part.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// RFC 5321's Dot-string, of at most 64 octets.
fn dot_atom(text: &str) -> Result<&str, String> {
    let atom = |one: u8| one.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&one);
    if text.is_empty() || text.len() > LONGEST_LOCAL_PART {
        return Err("must have 1 to 64 characters before the @".to_owned());
    }
    if !text.split('.').all(|part| !part.is_empty() && part.bytes().all(atom)) {
        return Err("must consist of ASCII letters, digits, and dots between them".to_owned());
    }
    Ok(text)
}

/// An address of ours or of anybody. The local part of foreign addresses may have a tag; all are
/// lower-case, since nobody relies on the difference.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct EmailAddress(String);

impl EmailAddress {
    /// Reads an address; the reason says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (local, domain) =
            text.rsplit_once('@').ok_or_else(|| "must be an address: name@domain".to_owned())?;
        let (local, domain) = (dot_atom(local)?.to_ascii_lowercase(), DomainName::parse(domain)?);
        let address = format!("{local}@{domain}");
        if address.len() > LONGEST_ADDRESS {
            return Err(format!("must have at most {LONGEST_ADDRESS} characters"));
        }
        Ok(Self(address))
    }

    /// The address of a local part in a domain of ours.
    #[must_use]
    pub fn of(local_part: &LocalPart, domain: &DomainName) -> Self {
        Self(format!("{local_part}@{domain}"))
    }

    /// The address of another local part in the same domain.
    #[must_use]
    pub fn beside(&self, local_part: &LocalPart) -> Self {
        Self(format!("{local_part}@{}", self.parts().1))
    }

    /// The canonical address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same in the domain `to`, if it is in the domain `from`, which is renamed.
    #[must_use]
    pub fn renamed(self, from: &DomainName, to: &DomainName) -> Self {
        let (local, domain) = self.parts();
        if domain == from.as_str() { Self(format!("{local}@{to}")) } else { self }
    }

    /// The same in the domain of another address of ours.
    #[must_use]
    pub fn in_domain_of(&self, other: &Self) -> Self {
        Self(format!("{}@{}", self.parts().0, other.parts().1))
    }

    /// Before and behind the `@`.
    #[must_use]
    pub fn parts(&self) -> (&str, &str) {
        self.0.rsplit_once('@').unwrap_or((&self.0, ""))
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_domain_has_one_spelling() {
        for text in ["example.com", "EXAMPLE.com", "example.com.", "ｅxample.com"] {
            assert_eq!(DomainName::parse(text).unwrap().as_str(), "example.com", "{text}");
        }
        for text in ["bücher.example", "BÜCHER.example", "xn--bcher-kva.example"] {
            assert_eq!(
                DomainName::parse(text).unwrap().as_str(),
                "xn--bcher-kva.example",
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_domain_is_refused() {
        let long = format!("{}.example", "a".repeat(64));
        for text in [
            "",
            ".",
            "com",
            "a..b",
            "-a.example",
            "a-.example",
            "a b.example",
            "a_b.example",
            "xn--example-.org",
            "xn--a.example",
            "10.0.0.1",
            "a.10",
            "[10.0.0.1]",
            "a\0.example",
            "a/b.example",
            "a'b.example",
            "example.com..",
            &long,
        ] {
            assert!(DomainName::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_local_part_fits_before_a_hosted_name() {
        let (label, longest) = ("a".repeat(62), "a".repeat(63));
        let fits = format!("{label}.{label}.{longest}");
        assert_eq!(fits.len(), 189);
        let refused = DomainName::parse_hosted(&format!("{label}.{longest}.{longest}"));
        assert_eq!(refused.unwrap_err(), "must have at most 189 characters");
        let name = DomainName::parse_hosted(&fits).unwrap();
        let address = EmailAddress::of(&LocalPart::parse(&"a".repeat(64)).unwrap(), &name);
        assert_eq!(EmailAddress::parse(address.as_str()).unwrap(), address);
    }

    #[test]
    fn local_parts_are_lower_case_and_have_no_tag() {
        assert_eq!(LocalPart::parse("Alice.B").unwrap().as_str(), "alice.b");
        for text in
            ["", ".a", "a.", "a..b", "a b", "a@b", "a+b", "ä", "a\0", "\"a\"", &"a".repeat(65)]
        {
            assert!(LocalPart::parse(text).is_err(), "{text}");
        }
        // Hostile, and yet legal: nothing behind may take it for code.
        assert!(LocalPart::parse("a'|`$%{}").is_ok());
    }

    #[test]
    fn an_address_is_canonical() {
        let address = EmailAddress::parse("Alice+News@BÜCHER.example.").unwrap();
        assert_eq!(address.as_str(), "alice+news@xn--bcher-kva.example");
        assert_eq!(address.parts(), ("alice+news", "xn--bcher-kva.example"));
        for text in ["alice", "@example.com", "alice@", "a@b@example.com", "a@localhost"] {
            assert!(EmailAddress::parse(text).is_err(), "{text}");
        }
    }
}

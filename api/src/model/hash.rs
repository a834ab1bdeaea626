//! Hashes of passwords that come from elsewhere, as Dovecot writes them: `{SCHEME}` and the hash.

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};

/// Characters of a hash with its scheme, as nodes take it.
const LONGEST: usize = 512;
/// What a hash may cost whoever verifies it, here and on every node: half a second. More of it in the
/// hands of one tenant would keep all others from signing in.
const ARGON2_KIB: std::ops::RangeInclusive<u32> = 8..=262_144;
const ARGON2_PASSES: std::ops::RangeInclusive<u32> = 1..=16;
const ARGON2_LANES: std::ops::RangeInclusive<u32> = 1..=4;
/// Of KiB and passes together.
const ARGON2_WORK: u32 = 262_144;
const BCRYPT_COST: std::ops::RangeInclusive<u32> = 5..=12;
const SHA512_ROUNDS: std::ops::RangeInclusive<u32> = 1_000..=700_000;
const PBKDF2_ROUNDS: std::ops::RangeInclusive<u32> = 1_000..=1_000_000;
/// What SHA512-CRYPT does when it is not said.
const SHA512_DEFAULT_ROUNDS: u32 = 5_000;

const SCHEMES: &str = "must begin with {ARGON2ID}, {BLF-CRYPT}, {SHA512-CRYPT} or {PBKDF2}";

/// A hash that can be verified, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash<'a> {
    /// The PHC string.
    Argon2id(&'a str),
    /// The modular crypt format of bcrypt.
    Bcrypt(&'a str),
    /// The modular crypt format of SHA-512.
    Sha512Crypt(&'a str),
    /// Of HMAC-SHA-1, as Dovecot makes it.
    Pbkdf2 {
        /// The salt.
        salt: &'a str,
        /// How often.
        rounds: u32,
        /// The digest in hexadecimal digits.
        digest: &'a str,
    },
}

impl<'a> Hash<'a> {
    /// Reads a hash; the reason says what is wrong with it. What `crypt` wrote may come without a
    /// scheme.
    pub fn parse(text: &'a str) -> Result<Self, String> {
        let wrong = || format!("must be at most {LONGEST} printable ASCII characters");
        if text.len() > LONGEST || !text.bytes().all(|one| one.is_ascii_graphic()) {
            return Err(wrong());
        }
        let hash = Self::parse_any(text)?;
        if hash.canonical().len() <= LONGEST { Ok(hash) } else { Err(wrong()) }
    }

    fn parse_any(text: &'a str) -> Result<Self, String> {
        let scheme = text.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let Some((scheme, rest)) = scheme else { return Self::parse_bare(text) };
        match scheme.to_ascii_uppercase().as_str() {
            "ARGON2ID" => argon2id(rest),
            "BLF-CRYPT" => bcrypt(rest),
            "SHA512-CRYPT" => sha512_crypt(rest),
            "CRYPT" => Self::parse_bare(rest),
            "PBKDF2" => pbkdf2(rest),
            _ => Err(SCHEMES.to_owned()),
        }
    }

    fn parse_bare(text: &'a str) -> Result<Self, String> {
        match text.get(..3) {
            Some("$2a" | "$2b" | "$2y") => bcrypt(text),
            Some("$6$") => sha512_crypt(text),
            _ if text.starts_with("$argon2id$") => argon2id(text),
            _ => Err(SCHEMES.to_owned()),
        }
    }

    /// As it is stored.
    #[must_use]
    pub fn canonical(&self) -> String {
        match self {
            Self::Argon2id(rest) => format!("{{ARGON2ID}}{rest}"),
            Self::Bcrypt(rest) => format!("{{BLF-CRYPT}}{rest}"),
            Self::Sha512Crypt(rest) => format!("{{SHA512-CRYPT}}{rest}"),
            Self::Pbkdf2 { salt, rounds, digest } => {
                format!("{{PBKDF2}}$1${salt}${rounds}${digest}")
            }
        }
    }
}

fn malformed(scheme: &str) -> String {
    format!("is not a hash of {scheme}")
}

fn beyond(what: &str, range: &std::ops::RangeInclusive<u32>) -> String {
    format!("{what} must be {} to {}", range.start(), range.end())
}

/// A number that is written in one way only.
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number: &u32| number.to_string() == text)
}

fn argon2id(text: &str) -> Result<Hash<'_>, String> {
    let wrong = || malformed("ARGON2ID");
    let mut parts = text.strip_prefix("$argon2id$v=19$").ok_or_else(wrong)?.split('$');
    let (costs, salt, digest) = (parts.next(), parts.next(), parts.next());
    let mut numbers = costs.ok_or_else(wrong)?.split(',');
    let mut read = |name: &str, range: std::ops::RangeInclusive<u32>| {
        let found = numbers.next().and_then(|one| number(one.strip_prefix(name)?));
        let found = found.ok_or_else(wrong)?;
        let name = name.trim_end_matches('=');
        if range.contains(&found) { Ok(found) } else { Err(beyond(name, &range)) }
    };
    let (kib, passes) = (read("m=", ARGON2_KIB)?, read("t=", ARGON2_PASSES)?);
    read("p=", ARGON2_LANES)?;
    if kib.saturating_mul(passes) > ARGON2_WORK {
        return Err(format!("m times t must be at most {ARGON2_WORK}"));
    }
    let bytes = |part: Option<&str>| {
        let bytes = part.and_then(|part| BASE64_STANDARD_NO_PAD.decode(part).ok());
        bytes.map_or(0, |bytes| bytes.len())
    };
    let is_good = (8..=64).contains(&bytes(salt)) && (16..=64).contains(&bytes(digest));
    let is_end = numbers.next().is_none() && parts.next().is_none();
    if is_good && is_end { Ok(Hash::Argon2id(text)) } else { Err(wrong()) }
}

/// The letters of `crypt`.
fn is_crypt(text: &str, length: usize) -> bool {
    text.len() == length
        && text.bytes().all(|one| one.is_ascii_alphanumeric() || b"./".contains(&one))
}

fn bcrypt(text: &str) -> Result<Hash<'_>, String> {
    let wrong = || malformed("BLF-CRYPT");
    let rest = ["$2a$", "$2b$", "$2y$"].iter().find_map(|one| text.strip_prefix(one));
    let (cost, rest) = rest.and_then(|rest| rest.split_once('$')).ok_or_else(wrong)?;
    if !is_crypt(rest, 53) || cost.len() != 2 {
        return Err(wrong());
    }
    let cost = number(cost.strip_prefix('0').unwrap_or(cost)).ok_or_else(wrong)?;
    if BCRYPT_COST.contains(&cost) {
        Ok(Hash::Bcrypt(text))
    } else {
        Err(beyond("the cost", &BCRYPT_COST))
    }
}

fn sha512_crypt(text: &str) -> Result<Hash<'_>, String> {
    let wrong = || malformed("SHA512-CRYPT");
    let mut parts = text.strip_prefix("$6$").ok_or_else(wrong)?.split('$').peekable();
    let rounds = parts.next_if(|one| one.starts_with("rounds="));
    let rounds = rounds.map(|one| number(one.trim_start_matches("rounds=")));
    let rounds = rounds.unwrap_or(Some(SHA512_DEFAULT_ROUNDS)).ok_or_else(wrong)?;
    let (salt, digest) = parts.next().zip(parts.next()).ok_or_else(wrong)?;
    if !is_crypt(salt, salt.len().clamp(1, 16)) || !is_crypt(digest, 86) || parts.next().is_some() {
        return Err(wrong());
    }
    if SHA512_ROUNDS.contains(&rounds) {
        Ok(Hash::Sha512Crypt(text))
    } else {
        Err(beyond("the rounds", &SHA512_ROUNDS))
    }
}

fn pbkdf2(text: &str) -> Result<Hash<'_>, String> {
    let wrong = || malformed("PBKDF2");
    let mut parts = text.strip_prefix("$1$").ok_or_else(wrong)?.split('$');
    let (salt, rounds) = parts.next().zip(parts.next()).ok_or_else(wrong)?;
    let digest = parts.next().filter(|_| parts.next().is_none()).ok_or_else(wrong)?;
    let is_digest = digest.len() == 40 && digest.bytes().all(|one| one.is_ascii_hexdigit());
    let rounds = number(rounds).ok_or_else(wrong)?;
    if salt.len() < 8 || !is_digest {
        return Err(wrong());
    }
    if PBKDF2_ROUNDS.contains(&rounds) {
        Ok(Hash::Pbkdf2 { salt, rounds, digest })
    } else {
        Err(beyond("the rounds", &PBKDF2_ROUNDS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_that_dovecot_verifies_are_read() {
        for hash in [
            "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$z3uhiNCJ1r9ggjZp8hXVAA$EpJMR5CZvYJAYa+f7T2HeIAT4S5UP4EbGDVxE8y1Bt8",
            "{BLF-CRYPT}$2y$05$CPqzfH8LZ/5ex72/bd2J0.s5.iO1TZaXKroro.Z.z47CxyaatfdXO",
            "{SHA512-CRYPT}$6$Gaywqj1TcuX59aA8$8g9lPadl14NJSS4bmGizCH18uTLHjZF3V5xSqZE5JlgOrlEdBWD9KiH9VIVNEjJGDiZ5w6GRN4wkote69WuBJ.",
            "{SHA512-CRYPT}$6$rounds=10000$jqxUEAKdlOdTb2vd$il66h/55Rlunx.ElhHIl1spiya5685.F.YUWb57p69UyLc1oGgL5ymM5illzSZzNyeEhH9UkS55ZQNULpzRzj0",
            "{PBKDF2}$1$Z7tbTjOAYukDjdG2$5000$090d46cc16a0dd73569ee692acc6eb2031e816ac",
        ] {
            assert_eq!(Hash::parse(hash).unwrap().canonical(), hash);
        }
        let bare = "$2y$05$CPqzfH8LZ/5ex72/bd2J0.s5.iO1TZaXKroro.Z.z47CxyaatfdXO";
        for text in [bare.to_owned(), format!("{{CRYPT}}{bare}"), format!("{{blf-crypt}}{bare}")] {
            assert_eq!(Hash::parse(&text).unwrap().canonical(), format!("{{BLF-CRYPT}}{bare}"));
        }
    }

    #[test]
    fn what_is_weak_or_costly_or_no_hash_is_refused() {
        let salt = "a".repeat(22);
        let (digest, blowfish) = ("a".repeat(43), "a".repeat(53));
        for text in [
            "",
            "secret",
            "{PLAIN}secret",
            "{MD5-CRYPT}$1$abc$abcdefghijklmnopqrstuv",
            "{SSHA}abcdefgh",
            "{BLF-CRYPT}",
            "{BLF-CRYPT}$2y$05$short",
            "{SHA512-CRYPT}$6$$",
            "{SHA512-CRYPT}$6$rounds=x$a$b",
            "{PBKDF2}$1$short$5000$00",
            "{ARGON2ID}$argon2id$v=19$m=65536,t=3$x$y",
            "{BLF-CRYPT}$2y$05$\0",
            "{ä}",
            &format!("{{BLF-CRYPT}}$2y$31${blowfish}"),
            &format!("{{BLF-CRYPT}}$2y$04${blowfish}"),
            &format!("{{ARGON2ID}}$argon2id$v=19$m=4194304,t=3,p=1${salt}${digest}"),
            &format!("{{ARGON2ID}}$argon2id$v=19$m=65536,t=3,p=1${salt}${digest}$x"),
            &format!("{{ARGON2ID}}$argon2id$v=19$m=262144,t=2,p=1${salt}${digest}"),
            // Other ways to write a number, which make it longer than nodes take.
            &format!("$argon2id$v=19$m={:0>430},t=3,p=1${salt}${digest}", 65_536),
            &format!("$argon2id$v=19$m=+65536,t=3,p=1${salt}${digest}"),
            &format!("$6$rounds=05000$abcdefgh${}", "a".repeat(86)),
            &format!("{{BLF-CRYPT}}$2y$+5${blowfish}"),
            &"x".repeat(1_000),
        ] {
            assert!(Hash::parse(text).is_err(), "{text}");
        }
    }
}

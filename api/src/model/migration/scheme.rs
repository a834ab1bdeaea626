//! Hashes of passwords as other panels keep them: which are taken, and by which name the others are
//! refused.

use crate::model::hash::Hash;

const TAKEN: &str = "{ARGON2ID}, {BLF-CRYPT}, {SHA512-CRYPT} and {PBKDF2} are taken";

/// Schemes that are guessed too fast, or are no hashes at all.
const WEAK: [&str; 27] = [
    "CLEAR",
    "CLEARTEXT",
    "PLAIN",
    "PLAIN-TRUNC",
    "PLAIN-MD4",
    "PLAIN-MD5",
    "LDAP-MD5",
    "MD5",
    "MD5RAW",
    "SMD5",
    "MD5-CRYPT",
    "CRYPT",
    "DES-CRYPT",
    "SHA",
    "SHA1",
    "SSHA",
    "SHA256",
    "SSHA256",
    "SHA512",
    "SSHA512",
    "CRAM-MD5",
    "HMAC-MD5",
    "DIGEST-MD5",
    "NTLM",
    "LANMAN",
    "LM",
    "RPA",
];

/// The hash as it is stored here, or why it is not taken. Nothing of it is in the reason.
pub(super) fn read(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    let reason = match Hash::parse(text) {
        Ok(hash) => return Ok(hash.canonical()),
        Err(reason) => reason,
    };
    let scheme = name(text);
    if ["ARGON2ID", "BLF-CRYPT", "SHA512-CRYPT", "PBKDF2"].contains(&scheme.as_str()) {
        return Err(format!("{{{scheme}}}: {reason}"));
    }
    if WEAK.contains(&scheme.as_str()) {
        return Err(format!("{{{scheme}}} is weak: {TAKEN}"));
    }
    if scheme.is_empty() {
        return Err(format!("is a hash of no known scheme, or the password itself: {TAKEN}"));
    }
    Err(format!("{{{scheme}}} is not known to the nodes: {TAKEN}"))
}

/// The name of the scheme, without how the hash is encoded; empty: it cannot be told.
fn name(text: &str) -> String {
    let Some((scheme, rest)) = text.strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
        return bare(text).to_owned();
    };
    let scheme = scheme.split('.').next().unwrap_or_default().to_ascii_uppercase();
    let is_name = scheme.len() <= 32
        && scheme.bytes().all(|one| one.is_ascii_alphanumeric() || b"-_".contains(&one));
    match scheme.as_str() {
        _ if !is_name => String::new(),
        "CRYPT" if !bare(rest).is_empty() => bare(rest).to_owned(),
        _ => scheme,
    }
}

/// The scheme of what `crypt` wrote, or of what looks like a digest.
fn bare(text: &str) -> &'static str {
    const BEGINNINGS: [(&str, &str); 9] = [
        ("$1$", "MD5-CRYPT"),
        ("$apr1$", "APR1-MD5"),
        ("$2", "BLF-CRYPT"),
        ("$5$", "SHA256-CRYPT"),
        ("$6$", "SHA512-CRYPT"),
        ("$7$", "SCRYPT"),
        ("$y$", "YESCRYPT"),
        ("$argon2id$", "ARGON2ID"),
        ("$argon2i$", "ARGON2I"),
    ];
    if let Some((_, name)) = BEGINNINGS.iter().find(|(begin, _)| text.starts_with(begin)) {
        return name;
    }
    let is_hex = text.bytes().all(|one| one.is_ascii_hexdigit());
    let is_crypt = text.bytes().all(|one| one.is_ascii_alphanumeric() || b"./".contains(&one));
    match text.len() {
        32 if is_hex => "PLAIN-MD5",
        40 if is_hex => "SHA1",
        13 if is_crypt => "DES-CRYPT",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_taken_or_refused_by_the_name_of_its_scheme() {
        let bcrypt = "$2y$05$CPqzfH8LZ/5ex72/bd2J0.s5.iO1TZaXKroro.Z.z47CxyaatfdXO";
        assert_eq!(read(bcrypt), Ok(format!("{{BLF-CRYPT}}{bcrypt}")));
        assert_eq!(read(&format!("{{CRYPT}}{bcrypt}")), Ok(format!("{{BLF-CRYPT}}{bcrypt}")));
        for (text, reason) in [
            ("", "is empty"),
            ("$1$c9809462$M0zeLuOvixH61C2csGN.U0", "{MD5-CRYPT} is weak"),
            ("{crypt}$1$c9809462$M0zeLuOvixH61C2csGN.U0", "{MD5-CRYPT} is weak"),
            ("{SSHA256.HEX}00", "{SSHA256} is weak"),
            ("{PLAIN}secret", "{PLAIN} is weak"),
            ("{CRYPT}abcdefghijklm", "{DES-CRYPT} is weak"),
            ("5f4dcc3b5aa765d61d8327deb882cf99", "{PLAIN-MD5} is weak"),
            ("$5$x$y", "{SHA256-CRYPT} is not known"),
            ("{ARGON2I}$argon2i$v=19$m=1", "{ARGON2I} is not known"),
            ("{BLF-CRYPT}$2y$31$x", "{BLF-CRYPT}: is not a hash of BLF-CRYPT"),
            ("$6$rounds=9$a$b", "{SHA512-CRYPT}: is not a hash"),
            ("{<script>}x", "is a hash of no known scheme"),
            ("hunter2 hunter2", "is a hash of no known scheme"),
            ("RESOURCE", "is a hash of no known scheme"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.starts_with(reason), "{text}: {said}");
            assert!(!said.contains("hunter2") && !said.contains("secret"), "{said}");
        }
    }
}

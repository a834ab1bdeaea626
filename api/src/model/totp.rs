//! Second factors: codes of six digits that change every half minute (RFC 6238), and recovery codes.

use time::OffsetDateTime;
use totp_rs::{Builder, Totp};

use crate::{
    error::{Error, Result},
    model::credential::spell,
};

/// Bytes of a secret.
pub const SECRET_LEN: usize = 20;
/// Recovery codes that one gets.
pub const RECOVERY_CODES: usize = 10;
const DIGITS: usize = 6;
/// What authenticators show beside the name.
const ISSUER: &str = "U-Mail";

/// What a code is made of.
pub struct Factor(Totp);

impl std::fmt::Debug for Factor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Factor")
    }
}

impl Factor {
    /// The factor of somebody who signs in with this name.
    pub fn new(secret: &[u8], name: &str) -> Result<Self> {
        // SHA-1, since authenticators take anything else for it.
        let totp = Builder::new()
            .with_secret(secret.to_vec())
            .with_issuer(Some(ISSUER))
            .with_account_name(name)
            .build();
        totp.map(Self).map_err(Error::internal)
    }

    /// The secret, to be typed.
    #[must_use]
    pub fn secret(&self) -> String {
        self.0.secret().to_base32()
    }

    /// The secret, to be scanned: `otpauth://totp/…`.
    pub fn uri(&self) -> Result<String> {
        self.0.to_url().map_err(Error::internal)
    }

    /// The time step that the code belongs to: this one, the one before or the one after.
    #[must_use]
    pub fn step(&self, code: &str, now: OffsetDateTime) -> Option<i64> {
        let seconds = u64::try_from(now.unix_timestamp()).ok()?;
        self.0.check(code, seconds).and_then(|step| i64::try_from(step).ok())
    }
}

/// What somebody gives as the second factor.
#[derive(Clone, PartialEq, Eq)]
pub enum Code {
    /// Of an authenticator.
    Now(String),
    /// A recovery code.
    Recovery(String),
}

impl Code {
    /// Reads what was typed, blanks left out; nothing if it can be neither.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let text: String = text.chars().filter(|one| !one.is_whitespace()).collect();
        let is_code = text.len() == DIGITS && text.bytes().all(|one| one.is_ascii_digit());
        if is_code {
            return Some(Self::Now(text));
        }
        let text = text.to_ascii_lowercase();
        let is_recovery = text.bytes().all(|one| one.is_ascii_alphanumeric() || one == b'-');
        (is_recovery && text.len() > DIGITS).then_some(Self::Recovery(text))
    }
}

/// Spells out random bytes as a recovery code.
#[must_use]
pub fn spell_recovery_code(random: &[u8; 28]) -> String {
    // 16 letters of 5 bits: 80 bits, which nobody guesses at ten a pause.
    spell(random).split('-').take(4).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;

    /// RFC 6238, appendix B, the last six digits.
    #[test]
    fn codes_are_those_of_the_standard() {
        let factor = Factor::new(b"12345678901234567890", "root").unwrap();
        for (seconds, code) in
            [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")]
        {
            let time = OffsetDateTime::UNIX_EPOCH + Duration::seconds(seconds);
            assert_eq!(factor.step(code, time), Some(seconds / 30));
            for near in [-30, 30] {
                assert_eq!(factor.step(code, time + Duration::seconds(near)), Some(seconds / 30));
            }
            assert_eq!(factor.step(code, time + Duration::seconds(60)), None);
            assert_eq!(factor.step("000000", time), None);
        }
        let uri = factor.uri().unwrap();
        let wanted = "otpauth://totp/U-Mail:root?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        assert!(uri.starts_with(wanted), "{uri}");
    }

    #[test]
    fn a_code_is_read_with_and_without_blanks() {
        assert!(Code::read(" 287 082") == Some(Code::Now("287082".to_owned())));
        let code = spell_recovery_code(&[255; 28]);
        assert_eq!(code, "9999-9999-9999-9999");
        assert!(Code::read("9999-ABCD") == Some(Code::Recovery("9999-abcd".to_owned())));
        for bad in ["", "12345", "٢٨٧٠٨٢", "a'b; --xyz"] {
            assert!(Code::read(bad).is_none(), "{bad}");
        }
    }
}

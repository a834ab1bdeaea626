//! A password that somebody typed.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

const MIN: usize = 10;
const MAX: usize = 256;

/// Never printed, wiped when dropped.
#[derive(Clone)]
pub struct Password(SecretString);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl Password {
    /// A password to be: long enough, and something that mail clients can type.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.chars().count() < MIN {
            return Err(format!("must have at least {MIN} characters"));
        }
        Self::any(text)
    }

    /// A password to compare.
    pub fn any(text: &str) -> Result<Self, String> {
        if text.chars().count() > MAX {
            return Err(format!("must have at most {MAX} characters"));
        }
        if text.chars().any(char::is_control) {
            return Err("must not contain control characters".to_owned());
        }
        Ok(Self(SecretString::from(text)))
    }

    /// The password itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_long_enough_and_not_printed() {
        assert!(Password::new("123456789").is_err());
        assert!(Password::new("1234567\u{0}90").is_err());
        assert!(Password::new(&"x".repeat(257)).is_err());
        let password = Password::new("1234567890").unwrap();
        assert!(!format!("{password:?}").contains("123"));
    }
}

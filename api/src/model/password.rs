//! A password that somebody typed, and what one that is to be must be like.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use zxcvbn::{feedback::Warning, zxcvbn};

const MAX: usize = 256;
/// Shorter parts of names are in many words.
const SHORTEST_PART: usize = 4;

/// Never printed, wiped when dropped.
#[derive(Clone)]
pub struct Password(SecretString);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl Password {
    /// A password to compare; something that mail clients can type.
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

/// What a password to be must be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Characters at least.
    pub min_length: i32,
    /// How hard it must be to guess: 0 (anything) to 4, as zxcvbn counts.
    pub min_strength: i16,
}

impl Policy {
    /// Reads a length.
    pub fn parse_min_length(length: i32) -> Result<i32, String> {
        if (8..=128).contains(&length) { Ok(length) } else { Err("must be 8 to 128".to_owned()) }
    }

    /// Reads a strength.
    pub fn parse_min_strength(strength: i16) -> Result<i16, String> {
        if (0..=4).contains(&strength) { Ok(strength) } else { Err("must be 0 to 4".to_owned()) }
    }

    /// A password to be, of somebody who goes by these names: the address, or parts of a name.
    pub fn check(&self, text: &str, names: &[&str]) -> Result<Password, String> {
        let password = Password::any(text)?;
        let length = i32::try_from(text.chars().count()).unwrap_or(i32::MAX);
        if length < self.min_length {
            return Err(format!("must have at least {} characters", self.min_length));
        }
        let (lower, names) = (text.to_lowercase(), parts(names));
        if names.iter().any(|name| lower.contains(name)) {
            return Err("must not contain the address or the name of whom it is for".to_owned());
        }
        if self.min_strength == 0 {
            return Ok(password);
        }
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let found = zxcvbn(text, &names);
        if i16::from(u8::from(found.score())) >= self.min_strength {
            return Ok(password);
        }
        let why = found.feedback().and_then(zxcvbn::feedback::Feedback::warning);
        Err(format!("is too easy to guess{}", why.map_or("", describe)))
    }
}

/// The names, and the words that they consist of.
fn parts(names: &[&str]) -> Vec<String> {
    let words = names.iter().flat_map(|name| {
        name.split(|one: char| !one.is_alphanumeric()).chain([*name]).map(str::to_lowercase)
    });
    words.filter(|word| word.chars().count() >= SHORTEST_PART).collect()
}

const fn describe(warning: Warning) -> &'static str {
    match warning {
        Warning::StraightRowsOfKeysAreEasyToGuess
        | Warning::ShortKeyboardPatternsAreEasyToGuess => ": it is a row of keys",
        Warning::RepeatsLikeAaaAreEasyToGuess
        | Warning::RepeatsLikeAbcAbcAreOnlySlightlyHarderToGuess => ": it repeats itself",
        Warning::ThisIsATop10Password
        | Warning::ThisIsATop100Password
        | Warning::ThisIsACommonPassword => ": it is among the commonest passwords",
        Warning::ThisIsSimilarToACommonlyUsedPassword => ": it is like one of the commonest",
        Warning::SequencesLikeAbcAreEasyToGuess => ": it is a sequence",
        Warning::RecentYearsAreEasyToGuess | Warning::DatesAreOftenEasyToGuess => {
            ": it is a date or a year"
        }
        Warning::AWordByItselfIsEasyToGuess => ": it is a single word",
        Warning::NamesAndSurnamesByThemselvesAreEasyToGuess
        | Warning::CommonNamesAndSurnamesAreEasyToGuess => ": it is a name",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy { min_length: 10, min_strength: 2 };

    #[test]
    fn a_password_is_not_printed() {
        let password = Password::any("1234567890").unwrap();
        assert!(!format!("{password:?}").contains("123"));
        assert!(Password::any("1234567\u{0}90").is_err());
        assert!(Password::any(&"x".repeat(257)).is_err());
    }

    #[test]
    fn a_password_to_be_is_long_and_hard_to_guess() {
        let names = ["anna.berger@example.com", "Anna Berger"];
        for good in
            ["correct horse battery", "correct-horse-battery", "another password", "k7pq2mzdx4"]
        {
            assert!(POLICY.check(good, &names).is_ok(), "{good}");
        }
        let too_long = "x".repeat(257);
        for (bad, reason) in [
            ("k7pq2mzdx", "must have at least 10 characters"),
            ("my BERGER is 7 high", "must not contain the address or the name of whom it is for"),
            (
                "anna.berger@example.com",
                "must not contain the address or the name of whom it is for",
            ),
            ("1234567890", "is too easy to guess: it is among the commonest passwords"),
            ("qwertyuiop", "is too easy to guess: it is among the commonest passwords"),
            ("aaaaaaaaaaaa", "is too easy to guess: it repeats itself"),
            ("passwordpassword", "is too easy to guess: it repeats itself"),
            ("password123", "is too easy to guess: it is among the commonest passwords"),
            (too_long.as_str(), "must have at most 256 characters"),
        ] {
            assert_eq!(POLICY.check(bad, &names).unwrap_err(), reason, "{bad}");
        }
        let lax = Policy { min_length: 8, min_strength: 0 };
        assert!(lax.check("password", &["Al"]).is_ok());
        assert!(lax.check("password", &["Word"]).is_err());
    }
}

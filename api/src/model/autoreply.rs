//! What is answered for a user who is away.

use serde::Serialize;
use time::OffsetDateTime;
use umail_api_types::autoreply as body;
use umail_proto::{AUTOREPLY_SUBJECT_BYTES, AUTOREPLY_TEXT_BYTES, ids::UserId};

use crate::{error::Violation, model::text};

/// What is answered for a user who is away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Autoreply {
    /// Whose it is.
    pub user_id: UserId,
    /// Whether mail is answered, in the time that is given.
    pub is_enabled: bool,
    /// Empty: made of the subject of what is answered.
    pub subject: String,
    /// Lines end with a line feed. Empty only while it is not enabled.
    pub text: String,
    /// When it begins; `None`: at once.
    #[serde(with = "time::serde::rfc3339::option")]
    pub starts_at: Option<OffsetDateTime>,
    /// When it ends; `None`: when it is switched off.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ends_at: Option<OffsetDateTime>,
    /// Counts its changes; 0: it was never set.
    pub revision: i64,
    /// When it was changed last.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

impl Autoreply {
    /// What a user has who has set none.
    #[must_use]
    pub const fn none(user_id: UserId) -> Self {
        Self {
            user_id,
            is_enabled: false,
            subject: String::new(),
            text: String::new(),
            starts_at: None,
            ends_at: None,
            revision: 0,
            updated_at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    /// With what is asked for at this time, checked; tells all that is wrong.
    pub fn changed(
        &self,
        new: &body::Autoreply,
        now: OffsetDateTime,
    ) -> Result<Self, Vec<Violation>> {
        let mut wrong = Vec::new();
        let mut read = |field: &str, text: Result<String, String>| {
            text.unwrap_or_else(|reason| {
                wrong.push(Violation { field: field.to_owned(), reason });
                String::new()
            })
        };
        let subject = text::line(&new.subject, AUTOREPLY_SUBJECT_BYTES)
            .and_then(|text| fits(text, AUTOREPLY_SUBJECT_BYTES));
        let subject = read("/subject", subject);
        let lines = text::lines(&new.text).and_then(|text| fits(text, AUTOREPLY_TEXT_BYTES));
        let lines = lines.and_then(|text| {
            if text.is_empty() && new.enabled {
                Err("must not be empty".to_owned())
            } else {
                Ok(text)
            }
        });
        let text = read("/text", lines);
        let is_over = new.ends_at.is_some_and(|time| time <= now);
        let is_backward = new.starts_at.zip(new.ends_at).is_some_and(|(start, end)| end <= start);
        if is_backward {
            let reason = "must be after starts_at".to_owned();
            wrong.push(Violation { field: "/ends_at".to_owned(), reason });
        } else if is_over && new.enabled {
            let reason = "must be in the future".to_owned();
            wrong.push(Violation { field: "/ends_at".to_owned(), reason });
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        Ok(Self {
            user_id: self.user_id,
            is_enabled: new.enabled,
            subject,
            text,
            starts_at: new.starts_at,
            ends_at: new.ends_at,
            revision: self.revision,
            updated_at: self.updated_at,
        })
    }
}

/// Nodes count bytes.
fn fits(text: String, max: usize) -> Result<String, String> {
    if text.len() > max { Err(format!("must have at most {max} bytes in UTF-8")) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-26 12:00 UTC);

    fn body() -> body::Autoreply {
        let text = "Away.".to_owned();
        let subject = String::new();
        body::Autoreply { enabled: true, subject, text, starts_at: None, ends_at: None }
    }

    fn wrong(body: &body::Autoreply) -> Vec<String> {
        let none = Autoreply::none(UserId::from(uuid::Uuid::nil()));
        let wrong = none.changed(body, NOW).unwrap_err();
        wrong.into_iter().map(|one| one.field).collect()
    }

    #[test]
    fn text_is_normalised_and_of_bounded_length() {
        let none = Autoreply::none(UserId::from(uuid::Uuid::nil()));
        let text = "Jose\u{301}\r\n\tis away \n\n".to_owned();
        let reply = none.changed(&body::Autoreply { text, ..body() }, NOW).unwrap();
        assert_eq!(reply.text, "José\n\tis away");
        for text in ["", " \r\n ", "a\0", "\u{202e}a", "a\rb", &"é".repeat(1_251)] {
            assert_eq!(wrong(&body::Autoreply { text: text.into(), ..body() }), ["/text"]);
        }
        for subject in ["a\nb", &"é".repeat(126)] {
            assert_eq!(wrong(&body::Autoreply { subject: subject.into(), ..body() }), ["/subject"]);
        }
    }

    #[test]
    fn the_end_is_ahead_and_behind_the_beginning() {
        let hour = time::Duration::hours(1);
        let at = |starts, ends| body::Autoreply {
            starts_at: Some(NOW + starts * hour),
            ends_at: Some(NOW + ends * hour),
            ..body()
        };
        assert_eq!(wrong(&at(2, 1)), ["/ends_at"]);
        assert_eq!(wrong(&at(-2, -1)), ["/ends_at"]);
        let none = Autoreply::none(UserId::from(uuid::Uuid::nil()));
        assert!(none.changed(&at(-1, 1), NOW).is_ok());
        // What is over may be kept, switched off.
        assert!(none.changed(&body::Autoreply { enabled: false, ..at(-2, -1) }, NOW).is_ok());
    }
}

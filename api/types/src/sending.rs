//! Limits of what users send, by name.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A limit of what a user sends by submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SendingLimitName {
    /// The size of a message with its headers.
    MessageSizeBytes,
    /// Messages in any hour.
    MessagesPerHour,
    /// Messages in any day.
    MessagesPerDay,
    /// Recipients of all messages in any hour.
    RecipientsPerHour,
    /// Recipients of all messages in any day.
    RecipientsPerDay,
}

impl SendingLimitName {
    /// Every limit there is, in a fixed order.
    pub const ALL: [Self; 5] = [
        Self::MessageSizeBytes,
        Self::MessagesPerHour,
        Self::MessagesPerDay,
        Self::RecipientsPerHour,
        Self::RecipientsPerDay,
    ];

    /// The name of the field that holds it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MessageSizeBytes => "message_size_bytes",
            Self::MessagesPerHour => "messages_per_hour",
            Self::MessagesPerDay => "messages_per_day",
            Self::RecipientsPerHour => "recipients_per_hour",
            Self::RecipientsPerDay => "recipients_per_day",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_that_of_its_field() {
        for name in SendingLimitName::ALL {
            assert_eq!(serde_json::to_value(name).unwrap(), name.name());
        }
    }
}

//! Functions by name.

use serde::{Deserialize, Serialize};
use umail_proto::functions::{Function, Functions};
use utoipa::ToSchema;

/// Something that an account may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FunctionName {
    /// Sign in by POP3.
    Pop3,
    /// Sign in by IMAP.
    Imap,
    /// Send mail by authenticated submission.
    Submission,
    /// Send to recipients outside the own domain.
    ExternalSend,
    /// Receive from senders outside the own domain.
    ExternalReceive,
    /// Have mail forwarded elsewhere.
    Forwarding,
}

impl FunctionName {
    const ALL: [(Self, Function); 6] = [
        (Self::Pop3, Function::Pop3),
        (Self::Imap, Function::Imap),
        (Self::Submission, Function::Submission),
        (Self::ExternalSend, Function::ExternalSend),
        (Self::ExternalReceive, Function::ExternalReceive),
        (Self::Forwarding, Function::Forwarding),
    ];
}

/// The names of a set, in a fixed order.
#[must_use]
pub fn names(set: Functions) -> Vec<FunctionName> {
    let inside = FunctionName::ALL.into_iter().filter(|(_, function)| set.contains(*function));
    inside.map(|(name, _)| name).collect()
}

/// The set of these names. All names mean all functions, those of later versions included.
#[must_use]
pub fn set(names: &[FunctionName]) -> Functions {
    let missing = FunctionName::ALL.into_iter().filter(|(name, _)| !names.contains(name));
    let mut missing = missing.peekable();
    if missing.peek().is_none() {
        return Functions::ALL;
    }
    let inside = FunctionName::ALL.into_iter().filter(|(name, _)| names.contains(name));
    inside.fold(Functions::NONE, |set, (_, function)| set.with(function))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sets_convert_both_ways() {
        let some = [FunctionName::Pop3, FunctionName::Forwarding];
        assert_eq!(names(set(&some)), some);
        assert_eq!(set(&[]), Functions::NONE);
        assert_eq!(set(&names(Functions::ALL)), Functions::ALL);
        for (name, function) in FunctionName::ALL {
            assert_eq!(serde_json::to_value(name).unwrap(), function.name());
        }
    }
}

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
    /// Make app passwords, and sign in with them.
    AppPasswords,
    /// Have mail answered while away.
    Autoreply,
    /// Have a session opened by a login link, without the password.
    Sso,
}

impl FunctionName {
    const ALL: [Self; 9] = [
        Self::Pop3,
        Self::Imap,
        Self::Submission,
        Self::ExternalSend,
        Self::ExternalReceive,
        Self::Forwarding,
        Self::AppPasswords,
        Self::Autoreply,
        Self::Sso,
    ];
}

impl From<FunctionName> for Function {
    fn from(name: FunctionName) -> Self {
        match name {
            FunctionName::Pop3 => Self::Pop3,
            FunctionName::Imap => Self::Imap,
            FunctionName::Submission => Self::Submission,
            FunctionName::ExternalSend => Self::ExternalSend,
            FunctionName::ExternalReceive => Self::ExternalReceive,
            FunctionName::Forwarding => Self::Forwarding,
            FunctionName::AppPasswords => Self::AppPasswords,
            FunctionName::Autoreply => Self::Autoreply,
            FunctionName::Sso => Self::Sso,
        }
    }
}

/// The names of a set, in a fixed order.
#[must_use]
pub fn names(set: Functions) -> Vec<FunctionName> {
    FunctionName::ALL.into_iter().filter(|name| set.contains((*name).into())).collect()
}

/// The set of these names. All names mean all functions, those of later versions included.
#[must_use]
pub fn set(names: &[FunctionName]) -> Functions {
    if FunctionName::ALL.iter().all(|name| names.contains(name)) {
        return Functions::ALL;
    }
    names.iter().fold(Functions::NONE, |set, name| set.with((*name).into()))
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
        for (name, function) in FunctionName::ALL.into_iter().zip(Function::ALL) {
            assert_eq!(Function::from(name), function);
            assert_eq!(serde_json::to_value(name).unwrap(), function.name());
        }
    }
}

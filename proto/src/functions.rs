//! Functions of an account as a set of bits: what may be used, and what nodes enforce.

use std::fmt;

/// Something an account may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Function {
    /// Sign in by POP3.
    Pop3 = 1,
    /// Sign in by IMAP.
    Imap = 1 << 1,
    /// Send mail by authenticated submission.
    Submission = 1 << 2,
    /// Send to recipients outside the own domain.
    ExternalSend = 1 << 3,
    /// Receive from senders outside the own domain.
    ExternalReceive = 1 << 4,
    /// Have mail forwarded elsewhere.
    Forwarding = 1 << 5,
    /// Sign in with app passwords, and make them.
    AppPasswords = 1 << 6,
    /// Have mail answered while away.
    Autoreply = 1 << 7,
    /// Have others, who know the user, open a session by a login link.
    Sso = 1 << 8,
}

impl Function {
    /// Every function there is, in the order of their bits.
    pub const ALL: [Self; 9] = [
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

    /// The name used in the REST API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pop3 => "pop3",
            Self::Imap => "imap",
            Self::Submission => "submission",
            Self::ExternalSend => "external_send",
            Self::ExternalReceive => "external_receive",
            Self::Forwarding => "forwarding",
            Self::AppPasswords => "app_passwords",
            Self::Autoreply => "autoreply",
            Self::Sso => "sso",
        }
    }

    /// Reads the name used in the REST API.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.name() == name)
    }
}

/// A set of functions. Levels combine by intersection: each may only narrow.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Functions(u64);

impl Functions {
    /// No function.
    pub const NONE: Self = Self(0);
    /// Every function, those of later versions included.
    pub const ALL: Self = Self(i64::MAX as u64);

    /// The set with these bits; the sign bit is not used, so that it fits a `BIGINT`.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// The bits, as nodes and the database store them.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether the function is in the set.
    #[must_use]
    pub const fn contains(self, function: Function) -> bool {
        self.0 & function as u64 != 0
    }

    /// The set with the function.
    #[must_use]
    pub const fn with(self, function: Function) -> Self {
        Self(self.0 | function as u64)
    }

    /// The set without the function.
    #[must_use]
    pub const fn without(self, function: Function) -> Self {
        Self(self.0 & !(function as u64))
    }

    /// What both sets have.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(
                Function::ALL.into_iter().filter(|one| self.contains(*one)).map(Function::name),
            )
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_tells_its_members() {
        let set = Functions::NONE.with(Function::Imap).with(Function::Pop3).without(Function::Pop3);
        assert!(set.contains(Function::Imap));
        assert!(!set.contains(Function::Pop3));
        assert_eq!(Functions::ALL.intersection(set), set);
    }

    #[test]
    fn every_function_has_a_bit_and_a_name_of_its_own() {
        for (index, one) in Function::ALL.into_iter().enumerate() {
            assert_eq!(one as u64, 1 << index);
            assert_eq!(Function::from_name(one.name()), Some(one));
        }
    }

    #[test]
    fn all_functions_fit_a_signed_column() {
        assert!(i64::try_from(Functions::ALL.bits()).is_ok());
    }
}

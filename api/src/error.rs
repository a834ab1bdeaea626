//! What can go wrong, in words that neither HTTP nor gRPC own.

use std::fmt;

use crate::model::{allowance::Exceeded, session::Confinement};

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something was not done. `http/problem.rs` and `grpc/status.rs` alone turn it into codes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody is signed in, or the token is no longer good.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// The password is right, and a code of the second factor is missing.
    #[error("a code of the second factor is needed as well: send it as totp")]
    TotpRequired,
    /// The session is not good for this yet.
    #[error("{}", confined(*.0))]
    Confined(Confinement),
    /// The caller may see it, but not do this to it.
    #[error("not allowed: {0}")]
    Forbidden(String),
    /// There is no such thing, or it is outside the caller's scope: nobody can tell which.
    #[error("{kind} {name} does not exist")]
    NotFound {
        /// What was asked for, such as `domain`.
        kind: &'static str,
        /// How it was asked for.
        name: String,
    },
    /// The name or address is taken.
    #[error("{kind} {name} already exists")]
    AlreadyExists {
        /// What there is already.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The state of things does not allow it now.
    #[error("{0}")]
    Conflict(String),
    /// The row has changed since the caller read it.
    #[error("the resource has revision {0} now")]
    StaleRevision(i64),
    /// The request lacks `If-Match`.
    #[error("this request needs an If-Match header with the ETag that you read")]
    RevisionRequired,
    /// Fields of the request break their rules.
    #[error("{}", Self::join(.0))]
    Invalid(Vec<Violation>),
    /// A limit of a level is reached.
    #[error("{0}")]
    LimitExceeded(Box<Exceeded>),
    /// More than the server takes at once.
    #[error("{0}")]
    TooLarge(String),
    /// Too many attempts; to be repeated after this many seconds.
    #[error("too many attempts; try again in {0} seconds")]
    TooManyRequests(u64),
    /// Something that is needed is away for now; to be repeated.
    #[error("{0}")]
    Unavailable(String),
    /// A stored row breaks the model: a defect, never the caller's fault.
    #[error("corrupt {kind} {id}: {detail}")]
    Corrupt {
        /// The table.
        kind: &'static str,
        /// The row.
        id: String,
        /// What does not hold.
        detail: String,
    },
    /// The database failed.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// Anything else that is not the caller's fault.
    #[error("{0}")]
    Internal(String),
}

const fn confined(confinement: Confinement) -> &'static str {
    match confinement {
        Confinement::PasswordChange => {
            "change your password first (PUT /v1/me/password): somebody else set it"
        }
        Confinement::TotpEnrolment => {
            "enrol a second factor first (POST /v1/me/totp): operators need one"
        }
    }
}

/// A field that breaks its rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer into the body (`/quota_bytes`), or the name of a query or path parameter.
    pub field: String,
    /// The rule, such as `must not be empty`.
    pub reason: String,
}

impl From<Exceeded> for Error {
    fn from(exceeded: Exceeded) -> Self {
        Self::LimitExceeded(Box::new(exceeded))
    }
}

impl Error {
    /// One field breaks its rule.
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation { field: field.into(), reason: reason.into() }])
    }

    /// There is no such thing in the caller's scope.
    pub fn not_found(kind: &'static str, name: impl fmt::Display) -> Self {
        Self::NotFound { kind, name: name.to_string() }
    }

    /// A stored row breaks the model.
    pub fn corrupt(kind: &'static str, id: impl fmt::Display, detail: impl fmt::Display) -> Self {
        Self::Corrupt { kind, id: id.to_string(), detail: detail.to_string() }
    }

    /// Something failed that the caller cannot help; the text is logged, never shown.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::Internal(cause.to_string())
    }

    fn join(violations: &[Violation]) -> String {
        let texts = violations.iter().map(|one| format!("{}: {}", one.field, one.reason));
        texts.collect::<Vec<_>>().join("; ")
    }
}

/// The database is starting, stopping, unreachable, or out of time: worth another try.
pub(crate) fn is_away(cause: &sqlx::Error) -> bool {
    match cause {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
        sqlx::Error::Database(cause) => cause.code().is_some_and(|code| {
            ["08", "53", "57"].iter().any(|class| code.starts_with(class))
                || ["40001", "40P01", "55P03"].contains(&&*code)
        }),
        _ => false,
    }
}

/// Names the constraint that an insert or update may run into.
pub trait OnConstraint<T> {
    /// Turns the violation of this constraint into another error.
    fn on_constraint(self, name: &str, error: impl FnOnce() -> Error) -> Result<T>;
}

impl<T> OnConstraint<T> for Result<T, sqlx::Error> {
    fn on_constraint(self, name: &str, error: impl FnOnce() -> Error) -> Result<T> {
        self.map_err(|cause| {
            let hit = cause.as_database_error().and_then(|one| one.constraint()) == Some(name);
            if hit { error() } else { cause.into() }
        })
    }
}

impl<T> OnConstraint<T> for Result<T> {
    fn on_constraint(self, name: &str, error: impl FnOnce() -> Error) -> Result<T> {
        self.or_else(|cause| match cause {
            Error::Database(cause) => Err(cause).on_constraint(name, error),
            other => Err(other),
        })
    }
}

//! Errors as gRPC says them: the only place of `grpc` that knows codes.

use tonic::{Code, Status};

use crate::error::{self, Error};

impl From<Error> for Status {
    fn from(cause: Error) -> Self {
        let code = code(&cause);
        if code == Code::Internal {
            tracing::error!(%cause, "a call of an agent failed");
            return Self::internal("internal error");
        }
        Self::new(code, cause.to_string())
    }
}

fn code(cause: &Error) -> Code {
    match cause {
        Error::Unauthenticated(_) | Error::TotpRequired => Code::Unauthenticated,
        Error::Forbidden(_) | Error::Confined(_) => Code::PermissionDenied,
        Error::NotFound { .. } => Code::NotFound,
        Error::AlreadyExists { .. } => Code::AlreadyExists,
        Error::Conflict(_) | Error::RevisionRequired => Code::FailedPrecondition,
        Error::StaleRevision(_) => Code::Aborted,
        Error::Invalid(_) => Code::InvalidArgument,
        Error::LimitExceeded(_) | Error::TooManyRequests(_) | Error::TooLarge(_) => {
            Code::ResourceExhausted
        }
        Error::Unavailable(_) => Code::Unavailable,
        // Whoever calls shall try again: the database is expected back.
        Error::Database(cause) if error::is_away(cause) => Code::Unavailable,
        Error::Corrupt { .. } | Error::Database(_) | Error::Internal(_) => Code::Internal,
    }
}

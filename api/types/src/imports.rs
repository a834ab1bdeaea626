//! Imports and exports of users.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use umail_proto::ids::{DomainId, ImportId, OperationId};
use utoipa::{IntoParams, ToSchema};

/// What becomes of the good lines of a file that has bad ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImportMode {
    /// Nothing is changed unless every line is good.
    #[default]
    AllOrNothing,
    /// Bad lines are passed over.
    SkipErrors,
}

impl ImportMode {
    /// The name in the API and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AllOrNothing => "all_or_nothing",
            Self::SkipErrors => "skip_errors",
        }
    }

    /// Reads the name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::AllOrNothing, Self::SkipErrors].into_iter().find(|mode| mode.name() == name)
    }
}

/// By what the lines of an import say whom they are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImportKey {
    /// By the address: whoever has it is changed.
    #[default]
    Address,
    /// By the external id: whoever another directory knows by it is changed, and keeps the address.
    ExternalId,
}

impl ImportKey {
    /// The name in the API and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::ExternalId => "external_id",
        }
    }

    /// Reads the name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Address, Self::ExternalId].into_iter().find(|key| key.name() == name)
    }
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImportState {
    /// Its content is not there yet, or not all of it.
    Receiving,
    /// At work.
    Running,
    /// Every line has been dealt with.
    Succeeded,
    /// Nothing was changed, or no more than what is counted.
    Failed,
    /// Ended on request; what is counted stays.
    Cancelled,
}

impl ImportState {
    /// The name in the API and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Receiving, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// An import to be; its content is sent afterwards.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewImport {
    /// By what lines say whom they are about; `address` when absent.
    #[serde(default)]
    #[schema(required = false)]
    pub key: ImportKey,
    /// What becomes of the good lines of a file that has bad ones; `all_or_nothing` when absent.
    #[serde(default)]
    #[schema(required = false)]
    pub mode: ImportMode,
    /// Whether nothing is to be changed, only said what would be.
    #[serde(default)]
    #[schema(required = false)]
    pub dry_run: bool,
}

/// An import of users.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Import {
    /// Identifies the import.
    pub id: ImportId,
    /// The domain of its users; null: lines name it.
    pub domain_id: Option<DomainId>,
    /// By what its lines say whom they are about.
    pub key: ImportKey,
    /// What becomes of the good lines of a file that has bad ones.
    pub mode: ImportMode,
    /// Whether nothing is changed.
    pub dry_run: bool,
    /// How far it is.
    pub state: ImportState,
    /// How much of the content is kept, whole lines only: whoever was cut off goes on from here.
    pub received_bytes: i64,
    /// Lines of it.
    pub received_lines: i64,
    /// Lines of which is known what becomes of them.
    pub done_lines: i64,
    /// Users that were added, or would be.
    pub created: i64,
    /// Users that were changed, or would be.
    pub changed: i64,
    /// Users that were as the line says already.
    pub unchanged: i64,
    /// Lines that were refused.
    pub refused: i64,
    /// The work on it, once all has been received.
    pub operation_id: Option<OperationId>,
    /// Why it failed as a whole.
    pub error: Option<String>,
    /// When it was begun.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it got on last.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Which part of the content is sent.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ContentQuery {
    /// Where the part begins: `received_bytes` of the import; 0 when absent.
    #[param(nullable = false, minimum = 0)]
    pub offset: Option<i64>,
    /// Whether more follows in another request; false when absent: the work begins.
    #[param(nullable = false)]
    pub more: Option<bool>,
}

/// In which form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// `text/csv`.
    #[default]
    Csv,
    /// `application/x-ndjson`.
    Ndjson,
}

/// How the errors of an import are wanted.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ErrorsQuery {
    /// `csv` when absent.
    #[param(nullable = false, inline)]
    pub format: Option<Format>,
}

/// How an export is wanted.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ExportQuery {
    /// `csv` when absent.
    #[param(nullable = false, inline)]
    pub format: Option<Format>,
    /// Whether the hashes of passwords are wanted as well, for system administrators.
    #[param(nullable = false)]
    pub password_hashes: Option<bool>,
}

//! What a dump has, the same for every panel: texts as they stand there.

use std::collections::HashSet;

use umail_api_types::{functions::FunctionName, status::Status};

use super::{DomainLimits, Origin, Refusal};
use crate::model::dump::{Row, Value};

/// Bytes of a name or an address at most: more is none.
const MAX_TEXT: usize = 1024;
const TOO_LONG: &str = "is too long";

/// All that is read from a dump.
#[derive(Debug, Default)]
pub struct Source {
    pub(super) domains: Vec<Domain>,
    pub(super) domain_aliases: Vec<DomainAlias>,
    pub(super) mailboxes: Vec<Mailbox>,
    pub(super) aliases: Vec<Alias>,
    pub(super) administrators: Administrators,
    /// Rows that cannot be read, and what there is nothing for here.
    pub(super) refused: Vec<Refusal>,
    /// Rows that are not meant to be taken over.
    pub(super) left_out: Vec<Refusal>,
    /// A column that every mailbox of the panel has, and one of the dump has not.
    pub(super) missing: Option<&'static str>,
}

#[derive(Debug)]
pub(super) struct Domain {
    pub(super) line: u64,
    pub(super) name: String,
    pub(super) is_active: bool,
    /// Why it is no domain with mailboxes.
    pub(super) other: Option<&'static str>,
    pub(super) limits: Limits,
}

/// What a domain may have there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    /// As a whole.
    pub(super) domain_wide: DomainLimits,
    /// The quota of each mailbox at most.
    pub(super) mailbox_bytes: Option<i64>,
}

/// Who administers what there.
#[derive(Debug, Default)]
pub(super) struct Administrators {
    pub(super) rows: Vec<Administrator>,
    /// Names of accounts that are disabled.
    pub(super) disabled: HashSet<String>,
    /// Accounts that administer everything: line and name.
    pub(super) of_all: Vec<(u64, String)>,
}

/// An account that administers a domain, or `ALL`.
#[derive(Debug)]
pub(super) struct Administrator {
    pub(super) line: u64,
    pub(super) name: String,
    pub(super) domain: String,
}

#[derive(Debug)]
pub(super) struct DomainAlias {
    pub(super) line: u64,
    pub(super) name: String,
    pub(super) target: String,
    pub(super) is_active: bool,
}

#[derive(Debug)]
pub(super) struct Mailbox {
    pub(super) line: u64,
    pub(super) address: String,
    pub(super) name: String,
    /// The hash, or why there is none.
    pub(super) password: Result<String, &'static str>,
    pub(super) quota: i64,
    pub(super) status: Status,
    /// What the user may use; nothing: all.
    pub(super) functions: Option<Vec<FunctionName>>,
    pub(super) must_change: bool,
    /// Why it is nobody's mailbox.
    pub(super) other: Option<&'static str>,
}

#[derive(Debug)]
pub(super) struct Alias {
    pub(super) line: u64,
    pub(super) address: String,
    pub(super) targets: String,
    pub(super) is_active: bool,
    /// Whether only users of the domain may write to it.
    pub(super) is_internal: bool,
}

/// The columns of a row, read one by one; whatever is wrong with them refuses the row.
pub(super) struct Cells<'a> {
    row: &'a Row,
    origin: Origin,
    refused: Vec<Refusal>,
}

impl<'a> Cells<'a> {
    /// A row that goes by these columns.
    pub(super) fn new(row: &'a Row, keys: &[&str]) -> Self {
        let keys = keys.iter().map(|key| match row.value(key) {
            Value::Text(text) => String::from_utf8_lossy(text).chars().take(320).collect(),
            _ => String::new(),
        });
        let key = keys.filter(|key: &String| !key.is_empty()).collect::<Vec<_>>().join(" ");
        let origin = Origin { line: row.line, table: row.table, key };
        Self { row, origin, refused: Vec::new() }
    }

    pub(super) const fn line(&self) -> u64 {
        self.row.line
    }

    /// Whether the dump has this column.
    pub(super) fn has(&self, column: &str) -> bool {
        *self.row.value(column) != Value::Absent
    }

    pub(super) fn refuse(&mut self, field: &'static str, reason: impl Into<String>) {
        let (origin, reason) = (self.origin.clone(), reason.into());
        self.refused.push(Refusal { origin, field, reason });
    }

    /// A name, an address or the like; empty where there is none.
    pub(super) fn text(&mut self, column: &'static str) -> String {
        let text = self.long_text(column);
        if text.len() > MAX_TEXT {
            self.refuse(column, TOO_LONG);
            return String::new();
        }
        text
    }

    /// A text of whatever length.
    pub(super) fn long_text(&mut self, column: &'static str) -> String {
        let reason = match self.row.value(column) {
            Value::Absent | Value::Null => return String::new(),
            Value::Text(text) => match std::str::from_utf8(text) {
                Ok(text) => return text.to_owned(),
                Err(_cause) => "must be UTF-8: dump with that character set",
            },
            Value::TooLong => TOO_LONG,
        };
        self.refuse(column, reason);
        String::new()
    }

    /// A whole number.
    pub(super) fn number(&mut self, column: &'static str, default: i64) -> i64 {
        let text = self.text(column);
        if text.is_empty() {
            return default;
        }
        text.parse().unwrap_or_else(|_cause| {
            self.refuse(column, "must be a whole number");
            default
        })
    }

    /// A truth value, as each database writes it.
    pub(super) fn flag(&mut self, column: &'static str, default: bool) -> bool {
        match self.text(column).as_str() {
            "" => default,
            "0" | "f" | "false" | "\0" => false,
            _ => true,
        }
    }

    /// What was read, if nothing is wrong with it.
    pub(super) fn finish<T>(self, read: T, into: &mut Vec<T>, refused: &mut Vec<Refusal>) {
        if self.refused.is_empty() {
            into.push(read);
        } else {
            refused.extend(self.refused);
        }
    }

    /// Tells of the row as a whole.
    pub(super) fn whole(self, reason: &str, into: &mut Vec<Refusal>) {
        into.push(Refusal { origin: self.origin, field: "", reason: reason.to_owned() });
    }
}

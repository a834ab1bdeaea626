//! The tables of mailcow: quotas in bytes, what a mailbox may use in `attributes`, a row of `alias`
//! for each mailbox, `@domain` for a catch-all.

use umail_api_types::{functions::FunctionName, limit::Limit, status::Status};

use super::{
    postfixadmin::{administrator, alias, domain_alias, limits},
    source::{Cells, Domain, Mailbox, Source},
};
use crate::model::dump::{Row, Table};

/// What is read of a dump.
pub(super) const TABLES: &[Table] = &[
    Table {
        name: "domain",
        columns: &["domain", "aliases", "mailboxes", "maxquota", "quota", "active", "backupmx"],
    },
    Table { name: "alias_domain", columns: &["alias_domain", "target_domain", "active"] },
    Table {
        name: "mailbox",
        columns: &[
            "username",
            "password",
            "name",
            "quota",
            "attributes",
            "kind",
            "authsource",
            "active",
        ],
    },
    Table { name: "alias", columns: &["address", "goto", "internal", "active"] },
    Table { name: "domain_admins", columns: &["username", "domain", "active"] },
    Table { name: "sieve_filters", columns: &["username", "script_desc", "script_name"] },
    Table { name: "app_passwd", columns: &["mailbox", "name", "active"] },
    Table { name: "sender_acl", columns: &["logged_in_as", "send_as"] },
    Table { name: "spamalias", columns: &["address"] },
    Table { name: "imapsync", columns: &["user2", "user1", "active"] },
    Table { name: "bcc_maps", columns: &["local_dest", "bcc_dest", "active"] },
    Table { name: "recipient_maps", columns: &["old_dest", "new_dest", "active"] },
    Table { name: "transports", columns: &["destination", "nexthop", "active"] },
];

/// Takes what a row says.
pub(super) fn take(source: &mut Source, row: &Row) {
    match row.table {
        "domain" => domain(source, row),
        "alias_domain" => domain_alias(source, row),
        "mailbox" => mailbox(source, row),
        "alias" => alias(source, row),
        "domain_admins" => administrator(source, row),
        _ => feature(source, row),
    }
}

/// What there is nothing for here, or not yet.
fn feature(source: &mut Source, row: &Row) {
    let (keys, reason): (&[&str], _) = match row.table {
        "sieve_filters" => (&["username", "script_desc"], "filters are not taken over"),
        "app_passwd" => (&["mailbox", "name"], "app passwords are made anew by their users"),
        "sender_acl" => (&["logged_in_as", "send_as"], "users send as their own addresses here"),
        "spamalias" => (&["address"], "addresses that expire are not known here"),
        "imapsync" => (&["user2", "user1"], "mail is not fetched from other servers here"),
        "bcc_maps" => (&["local_dest", "bcc_dest"], "copies of mail are not sent here"),
        "recipient_maps" => (&["old_dest", "new_dest"], "recipients are not rewritten here"),
        _ => (&["destination", "nexthop"], "transports are not taken over"),
    };
    let mut cells = Cells::new(row, keys);
    let is_inactive = row.table == "sieve_filters" && cells.text("script_name") == "inactive";
    if cells.flag("active", true) && !is_inactive {
        cells.whole(reason, &mut source.refused);
    }
}

fn domain(source: &mut Source, row: &Row) {
    let mut cells = Cells::new(row, &["domain"]);
    let other = cells
        .flag("backupmx", false)
        .then_some("is relayed to another server: such domains are not hosted here");
    // 0 is none.
    let limits = limits(&mut cells, |number| Limit::AtMost(number.max(0)));
    let read = Domain {
        line: cells.line(),
        name: cells.text("domain"),
        is_active: cells.flag("active", true),
        other,
        limits,
    };
    cells.finish(read, &mut source.domains, &mut source.refused);
}

fn mailbox(source: &mut Source, row: &Row) {
    let mut cells = Cells::new(row, &["username"]);
    if !cells.has("attributes") {
        source.missing = Some("attributes");
    }
    // 2: mail arrives, nobody signs in.
    let status = match cells.number("active", 1) {
        0 => Status::Closed,
        2 => Status::Locked,
        _ => Status::Active,
    };
    let other = match cells.text("kind").as_str() {
        "" => None,
        "location" | "thing" | "group" => Some("is a resource of a calendar, nobody's mailbox"),
        _ => Some("is of a kind that is not known here"),
    };
    let password = match cells.text("authsource").as_str() {
        "" | "mailcow" => Ok(cells.text("password")),
        "keycloak" => Err("is in Keycloak, not in the dump"),
        "ldap" => Err("is in a directory (LDAP), not in the dump"),
        _ => Err("is with another identity provider, not in the dump"),
    };
    let attributes = Attributes::read(&mut cells);
    let read = Mailbox {
        line: cells.line(),
        address: cells.text("username"),
        name: cells.text("name"),
        password,
        quota: cells.number("quota", 0),
        status,
        functions: attributes.functions(),
        must_change: attributes.is("force_pw_update", false),
        other,
    };
    cells.finish(read, &mut source.mailboxes, &mut source.refused);
}

/// What stands in `attributes`, if anything.
struct Attributes(serde_json::Map<String, serde_json::Value>);

impl Attributes {
    fn read(cells: &mut Cells<'_>) -> Self {
        let text = cells.long_text("attributes");
        if text.is_empty() {
            return Self(serde_json::Map::new());
        }
        Self(serde_json::from_str(&text).unwrap_or_else(|_cause| {
            cells.refuse("attributes", "must be a JSON object");
            serde_json::Map::new()
        }))
    }

    /// Numbers and texts are both in use.
    fn is(&self, name: &str, default: bool) -> bool {
        match self.0.get(name) {
            Some(serde_json::Value::String(text)) => text != "0" && !text.is_empty(),
            Some(serde_json::Value::Number(number)) => number.as_i64() != Some(0),
            Some(serde_json::Value::Bool(is)) => *is,
            _ => default,
        }
    }

    fn functions(&self) -> Option<Vec<FunctionName>> {
        let without: Vec<_> = [
            ("imap_access", FunctionName::Imap),
            ("pop3_access", FunctionName::Pop3),
            ("smtp_access", FunctionName::Submission),
        ]
        .into_iter()
        .filter(|(name, _)| !self.is(name, true))
        .map(|(_, function)| function)
        .collect();
        let all = umail_api_types::functions::names(umail_proto::functions::Functions::ALL);
        let left = all.into_iter().filter(|one| !without.contains(one)).collect();
        (!without.is_empty()).then_some(left)
    }
}

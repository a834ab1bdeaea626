//! The tables of `PostfixAdmin`: quotas in bytes, a row of `alias` for each mailbox, `@domain` for a
//! catch-all, a row of `domain` for each domain alias, too, and one called `ALL`.

use umail_api_types::{functions::FunctionName, status::Status};

use super::source::{Alias, Cells, Domain, DomainAlias, Mailbox, Source};
use crate::model::dump::{Row, Table};

/// What is read of a dump.
pub(super) const TABLES: &[Table] = &[
    Table { name: "domain", columns: &["domain", "active", "backupmx", "transport"] },
    Table { name: "alias_domain", columns: &["alias_domain", "target_domain", "active"] },
    Table {
        name: "mailbox",
        columns: &["username", "password", "name", "maildir", "quota", "active", "smtp_active"],
    },
    Table { name: "alias", columns: &["address", "goto", "active"] },
    Table { name: "domain_admins", columns: &["username", "domain", "active"] },
    Table { name: "fetchmail", columns: &["mailbox", "src_server", "active"] },
    Table { name: "mailbox_app_password", columns: &["username", "description"] },
];

/// Takes what a row says.
pub(super) fn take(source: &mut Source, row: &Row) {
    match row.table {
        "domain" => domain(source, row),
        "alias_domain" => domain_alias(source, row),
        "mailbox" => mailbox(source, row),
        "alias" => alias(source, row),
        "domain_admins" => administrator(source, row),
        "fetchmail" => {
            let mut cells = Cells::new(row, &["mailbox", "src_server"]);
            if cells.flag("active", true) {
                cells.whole("mail is not fetched from other servers here", &mut source.refused);
            }
        }
        _ => {
            let cells = Cells::new(row, &["username", "description"]);
            cells.whole("app passwords are made anew by their users", &mut source.refused);
        }
    }
}

fn domain(source: &mut Source, row: &Row) {
    let mut cells = Cells::new(row, &["domain"]);
    let name = cells.text("domain");
    // Not a domain: what super-administrators are assigned to.
    if name == "ALL" {
        return;
    }
    let transport = cells.text("transport");
    let is_relayed = ["smtp", "relay"].iter().any(|one| transport.starts_with(one));
    let other = if cells.flag("backupmx", false) {
        Some("is a backup MX: domains without mailboxes are not hosted here")
    } else if is_relayed {
        Some("is relayed to another server: such domains are not hosted here")
    } else {
        None
    };
    let is_active = cells.flag("active", true);
    let read = Domain { line: cells.line(), name, is_active, other };
    cells.finish(read, &mut source.domains, &mut source.refused);
}

/// Tables and columns of domain aliases are the same in both panels.
pub(super) fn domain_alias(source: &mut Source, row: &Row) {
    let mut cells = Cells::new(row, &["alias_domain"]);
    let read = DomainAlias {
        line: cells.line(),
        name: cells.text("alias_domain"),
        target: cells.text("target_domain"),
        is_active: cells.flag("active", true),
    };
    cells.finish(read, &mut source.domain_aliases, &mut source.refused);
}

fn mailbox(source: &mut Source, row: &Row) {
    let mut cells = Cells::new(row, &["username"]);
    if !cells.has("maildir") {
        source.missing = Some("maildir");
    }
    let is_active = cells.flag("active", true);
    let functions = (!cells.flag("smtp_active", true)).then(|| {
        let all = umail_api_types::functions::names(umail_proto::functions::Functions::ALL);
        all.into_iter().filter(|one| *one != FunctionName::Submission).collect()
    });
    let read = Mailbox {
        line: cells.line(),
        address: cells.text("username"),
        name: cells.text("name"),
        password: Ok(cells.text("password")),
        quota: cells.number("quota", 0),
        status: if is_active { Status::Active } else { Status::Closed },
        functions,
        must_change: false,
        other: None,
    };
    cells.finish(read, &mut source.mailboxes, &mut source.refused);
}

pub(super) fn alias(source: &mut Source, row: &Row) {
    let mut cells = Cells::new(row, &["address"]);
    let read = Alias {
        line: cells.line(),
        address: cells.text("address"),
        targets: cells.long_text("goto"),
        is_active: cells.flag("active", true),
        // A column of mailcow's.
        is_internal: cells.flag("internal", false),
    };
    cells.finish(read, &mut source.aliases, &mut source.refused);
}

/// Administrators have accounts of their own there, with passwords of their own.
pub(super) fn administrator(source: &mut Source, row: &Row) {
    let mut cells = Cells::new(row, &["username", "domain"]);
    if !cells.flag("active", true) {
        return;
    }
    let reason = if cells.text("domain") == "ALL" {
        "administers everything: add an operator (umail-api operator create)"
    } else {
        "administers the domain: appoint a user (POST /v1/users/{user}/role_assignments)"
    };
    cells.whole(reason, &mut source.left_out);
}

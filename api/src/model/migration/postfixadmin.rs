//! The tables of `PostfixAdmin`: quotas in bytes, a row of `alias` for each mailbox, `@domain` for a
//! catch-all, a row of `domain` for each domain alias, too, and one called `ALL`.

use umail_api_types::{functions::FunctionName, limit::Limit, status::Status};

use super::{
    DomainLimits,
    source::{Administrator, Alias, Cells, Domain, DomainAlias, Limits, Mailbox, Source},
};
use crate::model::dump::{Row, Table};

/// What is read of a dump.
pub(super) const TABLES: &[Table] = &[
    Table {
        name: "domain",
        columns: &[
            "domain",
            "aliases",
            "mailboxes",
            "maxquota",
            "quota",
            "active",
            "backupmx",
            "transport",
        ],
    },
    Table { name: "alias_domain", columns: &["alias_domain", "target_domain", "active"] },
    Table {
        name: "mailbox",
        columns: &["username", "password", "name", "maildir", "quota", "active", "smtp_active"],
    },
    Table { name: "alias", columns: &["address", "goto", "active"] },
    Table { name: "admin", columns: &["username", "superadmin", "active"] },
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
        "admin" => account(source, row),
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
    let limits = limits(&mut cells, |number| match number {
        ..0 => Limit::AtMost(0),
        0 => Limit::Unlimited,
        number => Limit::AtMost(number),
    });
    let read = Domain { line: cells.line(), name, is_active, other, limits };
    cells.finish(read, &mut source.domains, &mut source.refused);
}

/// Columns of limits are the same in both panels; `meaning` says what a number of users or aliases is.
/// Storage is in MiB, and neither panel has a domain with room for none.
pub(super) fn limits(cells: &mut Cells<'_>, meaning: fn(i64) -> Limit) -> Limits {
    let mut number = |column| cells.has(column).then(|| cells.number(column, 0));
    let (aliases, users) = (number("aliases"), number("mailboxes"));
    let mut bytes = |column| {
        let bytes = number(column).filter(|mebibytes| *mebibytes > 0);
        bytes.and_then(|mebibytes| mebibytes.checked_mul(1 << 20))
    };
    let (mailbox_bytes, storage) = (bytes("maxquota"), bytes("quota"));
    let is_there = cells.has("quota");
    let domain_wide = DomainLimits {
        users: users.map(meaning),
        aliases: aliases.map(meaning),
        storage_bytes: is_there.then(|| Limit::from_number(storage)),
    };
    Limits { domain_wide, mailbox_bytes }
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

/// An account of an administrator, with a password of its own.
fn account(source: &mut Source, row: &Row) {
    let mut cells = Cells::new(row, &["username"]);
    let name = cells.text("username");
    if !cells.flag("active", true) {
        source.administrators.disabled.insert(name);
    } else if cells.flag("superadmin", false) {
        source.administrators.of_all.push((cells.line(), name));
    }
}

/// What an account administers.
pub(super) fn administrator(source: &mut Source, row: &Row) {
    let mut cells = Cells::new(row, &["username", "domain"]);
    let is_active = cells.flag("active", true);
    let (name, domain) = (cells.text("username"), cells.text("domain"));
    let read = Administrator { line: cells.line(), name, domain };
    if is_active {
        cells.finish(read, &mut source.administrators.rows, &mut source.refused);
    }
}

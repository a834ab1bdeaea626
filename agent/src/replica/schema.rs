//! Tables of the replica, and the views that Postfix and Dovecot ask.

use sha2::{Digest as _, Sha256};
use sqlx::{Row as _, SqliteConnection};

use super::{
    ReplicaError,
    connection::{composed, statement},
};

/// Tables of `directory.sqlite`. Those of the directory are replaced by a snapshot; `frozen`,
/// `full_mailbox`, `throttle` and `setting` are the node's own and survive it.
pub(super) const DIRECTORY: &str = "
CREATE TABLE IF NOT EXISTS domain (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, status INTEGER NOT NULL, functions INTEGER NOT NULL,
  catch_all TEXT NOT NULL, deferred_until INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS domain_alias (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, domain_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS department (
  id TEXT PRIMARY KEY, domain_id TEXT NOT NULL, parent_id TEXT NOT NULL,
  functions INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS user (
  id TEXT PRIMARY KEY, domain_id TEXT NOT NULL, department_id TEXT NOT NULL,
  local_part TEXT NOT NULL, status INTEGER NOT NULL, functions INTEGER NOT NULL,
  quota_bytes INTEGER NOT NULL, quota_unlimited INTEGER NOT NULL,
  storage_node_id TEXT NOT NULL, moving INTEGER NOT NULL, plan_id TEXT NOT NULL DEFAULT '',
  message_size_bytes INTEGER, messages_per_hour INTEGER, messages_per_day INTEGER,
  recipients_per_hour INTEGER, recipients_per_day INTEGER);
CREATE TABLE IF NOT EXISTS plan (
  id TEXT PRIMARY KEY, functions INTEGER NOT NULL, quota_bytes INTEGER NOT NULL,
  quota_unlimited INTEGER NOT NULL,
  message_size_bytes INTEGER, messages_per_hour INTEGER, messages_per_day INTEGER,
  recipients_per_hour INTEGER, recipients_per_day INTEGER);
CREATE TABLE IF NOT EXISTS alias (
  id TEXT PRIMARY KEY, domain_id TEXT NOT NULL, local_part TEXT NOT NULL,
  user_id TEXT NOT NULL, keep_copy INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS alias_target (
  alias_id TEXT NOT NULL, place INTEGER NOT NULL, address TEXT NOT NULL,
  PRIMARY KEY (alias_id, place)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS storage_node (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, address TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS frozen (user_id TEXT PRIMARY KEY, move_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS full_mailbox (user_id TEXT PRIMARY KEY, until INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS throttle (key TEXT PRIMARY KEY, until INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS setting (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS position (
  one INTEGER PRIMARY KEY CHECK (one = 1), epoch TEXT NOT NULL, version INTEGER NOT NULL);
";

/// Columns that tables of earlier agents lack, in the order in which they were added.
const ADDED: [(&str, &str, &str); 12] = [
    ("user", "plan_id", "TEXT NOT NULL DEFAULT ''"),
    ("user", "message_size_bytes", "INTEGER"),
    ("user", "messages_per_hour", "INTEGER"),
    ("user", "messages_per_day", "INTEGER"),
    ("user", "recipients_per_hour", "INTEGER"),
    ("user", "recipients_per_day", "INTEGER"),
    ("plan", "message_size_bytes", "INTEGER"),
    ("plan", "messages_per_hour", "INTEGER"),
    ("plan", "messages_per_day", "INTEGER"),
    ("plan", "recipients_per_hour", "INTEGER"),
    ("plan", "recipients_per_day", "INTEGER"),
    ("domain", "deferred_until", "INTEGER NOT NULL DEFAULT 0"),
];

/// Tables that a directory of an earlier agent lacks, each with its definition.
const ADDED_TABLES: [(&str, &str); 3] = [
    (
        "mail_group",
        "id TEXT PRIMARY KEY, domain_id TEXT NOT NULL, department_id TEXT NOT NULL,
         local_part TEXT NOT NULL, posting INTEGER NOT NULL",
    ),
    (
        "group_member",
        "id TEXT PRIMARY KEY, group_id TEXT NOT NULL, user_id TEXT NOT NULL, address TEXT NOT NULL",
    ),
    (
        "autoreply",
        "user_id TEXT PRIMARY KEY, subject TEXT NOT NULL, text TEXT NOT NULL,
         starts_at INTEGER NOT NULL, ends_at INTEGER NOT NULL, other_local_parts TEXT NOT NULL",
    ),
];

/// Adds the columns and tables that a directory of an earlier agent lacks. What should stand in them
/// is asked for by going back to the beginning of the stream; until it has come, the rows that
/// there are stay in force.
pub(super) async fn upgrade(directory: &mut SqliteConnection) -> Result<(), ReplicaError> {
    for (table, column, definition) in ADDED {
        let there =
            composed(format!("SELECT 1 FROM pragma_table_info('{table}') WHERE name = '{column}'"));
        if there.fetch_optional(&mut *directory).await?.is_none() {
            add(directory, &format!("ALTER TABLE {table} ADD COLUMN {column} {definition}"))
                .await?;
        }
    }
    for (table, definition) in ADDED_TABLES {
        let there = composed(format!("SELECT 1 FROM sqlite_schema WHERE name = '{table}'"));
        if there.fetch_optional(&mut *directory).await?.is_none() {
            add(directory, &format!("CREATE TABLE {table} ({definition})")).await?;
        }
    }
    Ok(())
}

/// Adds something and goes back to the beginning, both or neither: what was added alone would never
/// be filled.
async fn add(directory: &mut SqliteConnection, what: &str) -> Result<(), ReplicaError> {
    let sql = format!("BEGIN IMMEDIATE; {what}; UPDATE position SET version = 0; COMMIT");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(directory).await?;
    Ok(())
}

/// Indexes of `directory.sqlite`.
pub(super) const INDEXES: &str = "
CREATE INDEX IF NOT EXISTS domain_name_idx ON domain (name);
CREATE INDEX IF NOT EXISTS domain_alias_name_idx ON domain_alias (name);
CREATE INDEX IF NOT EXISTS domain_alias_domain_idx ON domain_alias (domain_id);
CREATE INDEX IF NOT EXISTS user_address_idx ON user (domain_id, local_part);
CREATE INDEX IF NOT EXISTS user_storage_idx ON user (storage_node_id);
CREATE INDEX IF NOT EXISTS alias_address_idx ON alias (domain_id, local_part);
CREATE INDEX IF NOT EXISTS mail_group_address_idx ON mail_group (domain_id, local_part);
CREATE INDEX IF NOT EXISTS group_member_group_idx ON group_member (group_id, user_id);
";

/// Drops them: a snapshot makes them anew.
pub(super) const DROP_INDEXES: &str = "
DROP INDEX IF EXISTS domain_name_idx;
DROP INDEX IF EXISTS domain_alias_name_idx;
DROP INDEX IF EXISTS domain_alias_domain_idx;
DROP INDEX IF EXISTS user_address_idx;
DROP INDEX IF EXISTS user_storage_idx;
DROP INDEX IF EXISTS alias_address_idx;
DROP INDEX IF EXISTS mail_group_address_idx;
DROP INDEX IF EXISTS group_member_group_idx;
";

/// Tables and views of `secrets.sqlite`. Functions and addresses are not repeated here: Dovecot
/// asks the directory first and carries the user id over.
pub(super) const SECRETS: &str = "
CREATE TABLE IF NOT EXISTS credential (
  id TEXT PRIMARY KEY, user_id TEXT NOT NULL, kind INTEGER NOT NULL, hash TEXT NOT NULL,
  functions INTEGER NOT NULL, expires_at INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS credential_user_idx ON credential (user_id, kind, id);
";

/// The view of `secrets.sqlite`.
const SECRETS_VIEW: &str = "
BEGIN IMMEDIATE;
DROP VIEW IF EXISTS live_credential;
CREATE VIEW live_credential AS
  SELECT user_id, kind, id, hash, functions FROM credential
   WHERE expires_at = 0 OR expires_at > unixepoch();
COMMIT;
";

/// Brings the views of the directory up to date.
pub(super) async fn install_views(directory: &mut SqliteConnection) -> Result<(), ReplicaError> {
    install(directory, VIEWS).await
}

/// Brings the view of the secrets up to date.
pub(super) async fn install_secrets_view(
    secrets: &mut SqliteConnection,
) -> Result<(), ReplicaError> {
    install(secrets, SECRETS_VIEW).await
}

/// Drops and makes views anew in one transaction, so that an upgraded agent brings its own. Those
/// that are there already are left alone: Dovecot fails one lookup when the schema changes.
async fn install(
    connection: &mut SqliteConnection,
    views: &'static str,
) -> Result<(), ReplicaError> {
    let wanted = version(views);
    let installed = statement("PRAGMA user_version").fetch_one(&mut *connection).await?;
    if installed.try_get::<i32, _>(0)? != wanted {
        sqlx::raw_sql(views).execute(&mut *connection).await?;
        composed(format!("PRAGMA user_version = {wanted}")).execute(connection).await?;
    }
    Ok(())
}

/// A number that tells texts apart; never 0, which a new file has.
fn version(text: &str) -> i32 {
    let digest = Sha256::digest(text.as_bytes());
    let number = digest.iter().take(4).fold(0, |number, byte| number << 8 | i32::from(*byte));
    number | 1
}

/// The views. Addresses are always asked as (`local_part`, `domain`): both are indexed. SQLite uses the
/// indexes below a `UNION ALL` only where the columns of all parts have one affinity, so that what is
/// computed is cast; otherwise it reads through the directory for each recipient.
///
/// Status: 1 active, 2 locked (receives, cannot sign in), 3 maintenance (everything fails
/// temporarily), 4 suspended, 5 closed, 6 deleted (all three refuse mail and logins). Mail of a
/// suspended domain is deferred first, until a time that its row carries: the node goes by its
/// own clock.
const VIEWS: &str = "
BEGIN IMMEDIATE;
DROP VIEW IF EXISTS unready;
DROP VIEW IF EXISTS throttled;
DROP VIEW IF EXISTS domain_name;
DROP VIEW IF EXISTS account;
DROP VIEW IF EXISTS route;
DROP VIEW IF EXISTS refusal;
DROP VIEW IF EXISTS domain_refusal;
DROP VIEW IF EXISTS sender_owner;
DROP VIEW IF EXISTS known_address;
DROP VIEW IF EXISTS system_address;
DROP VIEW IF EXISTS fallback;
DROP VIEW IF EXISTS sending_limit;
DROP VIEW IF EXISTS narrow_recipient;
DROP VIEW IF EXISTS group_address;
DROP VIEW IF EXISTS group_target;
DROP VIEW IF EXISTS closed_group;
DROP VIEW IF EXISTS reply;

-- One row while no snapshot has arrived: every lookup then answers 'temporarily'.
CREATE VIEW unready AS SELECT 1 AS one WHERE NOT EXISTS (SELECT 1 FROM position);

CREATE VIEW throttled AS SELECT key FROM throttle WHERE until > unixepoch();

-- Every name a domain goes by.
CREATE VIEW domain_name AS
  SELECT name, id AS domain_id, name AS canonical, status, catch_all, 0 AS is_alias FROM domain
  UNION ALL
  SELECT a.name, d.id, d.name, d.status, d.catch_all, 1
    FROM domain_alias a JOIN domain d ON d.id = a.domain_id;

-- A user with what really holds for it: the stricter status, the functions every level leaves.
CREATE VIEW account AS
  SELECT u.id AS user_id, u.domain_id, u.local_part, d.name AS domain,
         CAST(u.local_part || '@' || d.name AS TEXT) AS address,
         max(u.status, d.status) AS status,
         u.status < 4 AND d.status = 4 AND d.deferred_until > unixepoch() AS deferred,
         u.functions & d.functions & coalesce(
           (WITH RECURSIVE chain (parent_id, functions) AS (
              SELECT p.parent_id, p.functions FROM department p WHERE p.id = u.department_id
              UNION ALL
              SELECT p.parent_id, p.functions & c.functions
                FROM chain c JOIN department p ON p.id = c.parent_id
              LIMIT 64)
            SELECT min(functions) FROM chain), -1) & coalesce(p.functions, -1) AS functions,
         CASE WHEN u.quota_unlimited THEN coalesce(p.quota_bytes, 0)
              WHEN coalesce(p.quota_unlimited, 1) THEN u.quota_bytes
              ELSE min(u.quota_bytes, p.quota_bytes) END AS quota_bytes,
         u.quota_unlimited AND coalesce(p.quota_unlimited, 1) AS quota_unlimited,
         u.storage_node_id, n.name AS storage_name, n.address AS storage_address,
         (u.moving OR EXISTS (SELECT 1 FROM frozen f WHERE f.user_id = u.id)) AS held
    FROM user u
    JOIN domain d ON d.id = u.domain_id
    LEFT JOIN plan p ON p.id = u.plan_id
    LEFT JOIN storage_node n ON n.id = u.storage_node_id;

-- Every address that a row stands for, under the canonical name of its domain.
CREATE VIEW known_address AS
  SELECT u.local_part, d.name AS domain FROM user u JOIN domain d ON d.id = u.domain_id
  UNION ALL
  SELECT a.local_part, d.name FROM alias a JOIN domain d ON d.id = a.domain_id
  UNION ALL
  SELECT g.local_part, d.name FROM mail_group g JOIN domain d ON d.id = g.domain_id;

-- A group with what holds for it: the functions that its domain and its departments leave.
CREATE VIEW group_address AS
  SELECT g.id AS group_id, g.domain_id, g.local_part, d.name AS domain, g.posting,
         d.functions & coalesce(
           (WITH RECURSIVE chain (parent_id, functions) AS (
              SELECT p.parent_id, p.functions FROM department p WHERE p.id = g.department_id
              UNION ALL
              SELECT p.parent_id, p.functions & c.functions
                FROM chain c JOIN department p ON p.id = c.parent_id
              LIMIT 64)
            SELECT min(functions) FROM chain), -1) AS functions
    FROM mail_group g JOIN domain d ON d.id = g.domain_id;

-- Groups that not everybody may write to, under every name of their domain. Only who writes to such
-- a group directly is checked, so nothing else leads there.
CREATE VIEW closed_group AS
  SELECT g.id AS group_id, g.domain_id, g.posting, g.local_part, n.name AS domain
    FROM mail_group g JOIN domain_name n ON n.domain_id = g.domain_id
   WHERE g.posting <> 1;

-- Who gets what is written to a group: members that get mail, be it later. Those outside get none
-- where the group may not send there; `is_own`: a user of its domain.
CREATE VIEW group_target AS
  SELECT g.group_id, g.local_part, g.domain, u.address AS target,
         u.domain_id = g.domain_id AS is_own
    FROM group_address g
    JOIN group_member m ON m.group_id = g.group_id AND m.user_id <> ''
    JOIN account u ON u.user_id = m.user_id
   WHERE (u.status < 4 OR u.deferred) AND (u.domain_id = g.domain_id OR g.functions & 8)
  UNION ALL
  SELECT g.group_id, g.local_part, g.domain, m.address, 0
    FROM group_address g
    JOIN (SELECT group_id, address, substr(address, instr(address, '@') + 1) AS name,
                 substr(address, 1, instr(replace(address, '+', '@'), '@') - 1) AS local_part
            FROM group_member WHERE user_id = '') m ON m.group_id = g.group_id
   WHERE (g.functions & 8
          OR EXISTS (SELECT 1 FROM domain_name n
                      WHERE n.name = m.name AND n.domain_id = g.domain_id))
     AND NOT EXISTS (SELECT 1 FROM domain_name n JOIN account u ON u.domain_id = n.domain_id
                      WHERE n.name = m.name AND u.local_part = m.local_part
                        AND u.status >= 4 AND NOT u.deferred)
     AND NOT EXISTS (SELECT 1 FROM closed_group c
                      WHERE c.domain = m.name AND c.local_part = m.local_part);

-- Where mail for an alias, a group or a forwarding user goes. Forwarding rests without the function,
-- and while the user gets no mail: that of an alias would pass by the status. Who may not send
-- outside has nothing forwarded there either.
CREATE VIEW route AS
  SELECT a.local_part, d.name AS domain, t.address AS target
    FROM alias a
    JOIN domain d ON d.id = a.domain_id
    JOIN alias_target t ON t.alias_id = a.id
   WHERE NOT EXISTS (SELECT 1 FROM account u
                      WHERE u.local_part = a.local_part AND u.domain_id = a.domain_id
                        AND (NOT u.functions & 32 OR u.status >= 4))
     AND (coalesce((SELECT u.functions FROM account u
                     WHERE u.local_part = a.local_part AND u.domain_id = a.domain_id),
                   d.functions) & 8
          OR EXISTS (SELECT 1 FROM domain_name n
                      WHERE n.name = substr(t.address, instr(t.address, '@') + 1)
                        AND n.domain_id = a.domain_id))
     AND NOT EXISTS (SELECT 1 FROM closed_group c
                      WHERE c.domain = substr(t.address, instr(t.address, '@') + 1)
                        AND c.local_part = substr(t.address, 1, instr(
                              replace(t.address, '+', '@'), '@') - 1))
  UNION ALL
  SELECT a.local_part, d.name, CAST(a.local_part || '@' || d.name AS TEXT)
    FROM alias a JOIN domain d ON d.id = a.domain_id
   WHERE a.keep_copy
     AND EXISTS (SELECT 1 FROM user u
                  WHERE u.local_part = a.local_part AND u.domain_id = a.domain_id)
  UNION ALL
  SELECT local_part, domain, target FROM group_target;

-- Where mail goes that must arrive somewhere: the setting, or whoever has been here longest.
CREATE VIEW system_address AS
  SELECT coalesce(
    (SELECT nullif(value, '') FROM setting WHERE key = 'postmaster_address'),
    (SELECT address FROM account WHERE status = 1 ORDER BY user_id LIMIT 1)) AS target;

CREATE VIEW fallback AS
  SELECT s.local_part, d.name AS domain, coalesce(
      (SELECT value FROM setting WHERE key = 'postmaster_address'
          AND value NOT IN ('', s.local_part || '@' || d.name)),
      (SELECT u.local_part || '@' || d.canonical FROM user u
        WHERE u.domain_id = d.domain_id AND u.status = 1 ORDER BY u.id LIMIT 1)) AS target
    FROM domain_name d
    JOIN (SELECT 'postmaster' AS local_part UNION ALL SELECT 'abuse') s
   WHERE NOT EXISTS (SELECT 1 FROM user u
                      WHERE u.domain_id = d.domain_id AND u.local_part = s.local_part)
     AND NOT EXISTS (SELECT 1 FROM alias a
                      WHERE a.domain_id = d.domain_id AND a.local_part = s.local_part)
     AND NOT EXISTS (SELECT 1 FROM mail_group g
                      WHERE g.domain_id = d.domain_id AND g.local_part = s.local_part);

-- What the SMTP dialogue answers for a recipient that gets no mail now.
CREATE VIEW refusal AS
  SELECT local_part, domain, CAST(answer AS TEXT) AS answer FROM (
    SELECT local_part, domain,
           CASE WHEN status >= 6 THEN '550 5.1.1 The mailbox was deleted'
                WHEN deferred THEN '450 4.2.1 The domain is suspended, try again later'
                WHEN status >= 4 THEN '550 5.2.1 The mailbox is disabled'
                WHEN held THEN '450 4.2.0 The mailbox is being moved, try again'
                WHEN status = 3 THEN '450 4.2.1 The mailbox is under maintenance, try again'
                WHEN EXISTS (SELECT 1 FROM full_mailbox f
                              WHERE f.user_id = account.user_id AND f.until > unixepoch())
                THEN '452 4.2.2 The mailbox is full, try again later'
           END AS answer
      FROM account)
   WHERE answer IS NOT NULL
  UNION ALL
  SELECT a.local_part, d.name,
         CAST('550 5.7.1 The address leads outside, or to a closed group' AS TEXT)
    FROM alias a JOIN domain d ON d.id = a.domain_id
   WHERE NOT EXISTS (SELECT 1 FROM user u
                      WHERE u.local_part = a.local_part AND u.domain_id = a.domain_id)
     AND NOT EXISTS (SELECT 1 FROM route r
                      WHERE r.local_part = a.local_part AND r.domain = d.name)
  UNION ALL
  SELECT g.local_part, d.name, CAST('550 5.2.4 The group has no members who get mail' AS TEXT)
    FROM mail_group g JOIN domain d ON d.id = g.domain_id
   WHERE d.status < 4
     AND NOT EXISTS (SELECT 1 FROM group_target t
                      WHERE t.local_part = g.local_part AND t.domain = d.name);

-- How much a user may send: the narrower of what the user and the plan say.
CREATE VIEW sending_limit AS
  SELECT u.id AS user_id,
         min(coalesce(u.message_size_bytes, p.message_size_bytes),
             coalesce(p.message_size_bytes, u.message_size_bytes)) AS message_size_bytes,
         min(coalesce(u.messages_per_hour, p.messages_per_hour),
             coalesce(p.messages_per_hour, u.messages_per_hour)) AS messages_per_hour,
         min(coalesce(u.messages_per_day, p.messages_per_day),
             coalesce(p.messages_per_day, u.messages_per_day)) AS messages_per_day,
         min(coalesce(u.recipients_per_hour, p.recipients_per_hour),
             coalesce(p.recipients_per_hour, u.recipients_per_hour)) AS recipients_per_hour,
         min(coalesce(u.recipients_per_day, p.recipients_per_day),
             coalesce(p.recipients_per_day, u.recipients_per_day)) AS recipients_per_day
    FROM user u LEFT JOIN plan p ON p.id = u.plan_id;

-- Who takes no mail from outside: such users, and other addresses that lead to nobody else.
CREATE VIEW narrow_recipient AS
  SELECT local_part, domain FROM account WHERE NOT functions & 16
  UNION ALL
  SELECT a.local_part, d.name FROM alias a JOIN domain d ON d.id = a.domain_id
   WHERE NOT EXISTS (SELECT 1 FROM user u
                      WHERE u.local_part = a.local_part AND u.domain_id = a.domain_id)
     AND EXISTS (SELECT 1 FROM alias_target t WHERE t.alias_id = a.id)
     AND NOT EXISTS (
       SELECT 1 FROM alias_target t
        WHERE t.alias_id = a.id
          AND NOT EXISTS (
            SELECT 1 FROM domain_name n JOIN account u ON u.domain_id = n.domain_id
             WHERE n.name = substr(t.address, instr(t.address, '@') + 1)
               AND u.local_part = substr(t.address, 1, instr(t.address, '@') - 1)
               AND NOT u.functions & 16))
  UNION ALL
  SELECT g.local_part, d.name FROM mail_group g JOIN domain d ON d.id = g.domain_id
   WHERE EXISTS (SELECT 1 FROM group_member m WHERE m.group_id = g.id)
     AND NOT EXISTS (
       SELECT 1 FROM group_member m
        WHERE m.group_id = g.id
          AND NOT EXISTS (SELECT 1 FROM account u
                           WHERE u.user_id = m.user_id AND NOT u.functions & 16));

-- The same for every address of a domain: of aliases, of a catch-all, of nobody. Asked after the
-- one above, which knows the users.
CREATE VIEW domain_refusal AS
  SELECT domain, answer FROM (
    SELECT name AS domain,
           CASE WHEN status >= 6 THEN '550 5.1.1 The domain was deleted'
                WHEN status = 5 THEN '550 5.2.1 The domain is closed'
                WHEN status = 4 AND deferred_until > unixepoch()
                THEN '450 4.2.1 The domain is suspended, try again later'
                WHEN status = 4 THEN '550 5.2.1 The domain is suspended'
                WHEN status = 3 THEN '450 4.2.1 The domain is under maintenance, try again'
           END AS answer
      FROM domain)
   WHERE answer IS NOT NULL;

-- Who may send as an address: its user, under every name of the domain.
CREATE VIEW sender_owner AS
  SELECT u.local_part, n.name AS domain, u.local_part || '@' || n.canonical AS owner
    FROM user u JOIN domain_name n ON n.domain_id = u.domain_id
  UNION ALL
  SELECT a.local_part, n.name, o.address
    FROM alias a
    JOIN domain_name n ON n.domain_id = a.domain_id
    JOIN account o ON o.user_id = a.user_id;

-- What is answered now for users who are away. Dovecot expands variables in what it is told of a user: a
-- per cent sign is written twice. It takes 8,192 bytes in all, so that of very many addresses or
-- names the first ones count. 'inside': the only domains that are answered, all where there is none.
CREATE VIEW reply AS
  SELECT r.user_id, replace(r.text, '%', '%%') AS text,
         replace(nullif(r.subject, ''), '%', '%%') AS subject,
         (SELECT group_concat(address, ' ') FROM (
            SELECT address, sum(length(address) + 1) OVER (ORDER BY place, address) AS bytes FROM (
              SELECT replace(l.local_part, '%', '%%') || '@' || n.name AS address,
                     l.place + n.is_alias AS place
                FROM (SELECT a.local_part, 0 AS place
                      UNION ALL SELECT value, 1 FROM json_each(r.other_local_parts)) l
                JOIN domain_name n ON n.domain_id = a.domain_id))
           WHERE bytes <= 700) AS addresses,
         CASE WHEN NOT a.functions & 8 THEN
           (SELECT ' ' || coalesce(group_concat(name, ' '), '') || ' ' FROM (
              SELECT name, sum(length(name) + 1) OVER (ORDER BY is_alias, name) AS bytes
                FROM domain_name WHERE domain_id = a.domain_id)
             WHERE bytes <= 700) END AS inside
    FROM autoreply r JOIN account a ON a.user_id = r.user_id
   WHERE a.functions & 128 AND a.status = 1
     AND r.starts_at <= unixepoch() AND (r.ends_at = 0 OR r.ends_at > unixepoch());
COMMIT;
";

#[cfg(test)]
mod tests {
    use umail_proto::functions::Function;

    #[test]
    fn the_bits_of_functions_are_those_in_the_views() {
        // `queries.rs` of Dovecot knows that of app passwords.
        let bits = [
            Function::ExternalSend,
            Function::ExternalReceive,
            Function::Forwarding,
            Function::AppPasswords,
            Function::Autoreply,
        ];
        assert_eq!(bits.map(|function| function as u64), [8, 16, 32, 64, 128]);
    }
}

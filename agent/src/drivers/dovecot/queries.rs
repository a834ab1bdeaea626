//! The queries: what Dovecot asks the views of the replica.
//!
//! `%n` and `%d` are the halves of the name somebody signs in with, `%s` the service, `%r` where he
//! comes from; Dovecot escapes them.

use std::{net::IpAddr, path::Path};

use umail_proto::{APP_PASSWORDS_TRIED, agent::Role};

use super::Source;

/// Who somebody is that signs in.
pub(super) const ACCOUNT: &str = "account.conf.ext";
/// The node that mail for somebody is forwarded to.
pub(super) const FORWARD: &str = "forward.conf.ext";
/// The password.
pub(super) const PASSWORD: &str = "password.conf.ext";
/// Whether who has given a right password is let in now.
pub(super) const STANDING: &str = "standing.conf.ext";
/// Where a mailbox lies.
pub(super) const MAILBOX: &str = "mailbox.conf.ext";

/// One app password of the user, by its place among them: what the log calls the query.
pub(super) fn app_password(place: usize) -> String {
    format!("app-password-{place}")
}

/// The file of the query.
pub(super) fn app_password_file(place: usize) -> String {
    format!("{}.conf.ext", app_password(place))
}

/// The bit of the function that a service needs; see `umail_proto::functions`.
const NEEDED: &str =
    "CASE '%s' WHEN 'pop3' THEN 1 WHEN 'imap' THEN 2 WHEN 'smtp' THEN 4 ELSE 0 END";

/// The account that is meant, under whatever name of its domain.
const MEANT: &str = "a.local_part = '%n'
    AND a.domain = (SELECT canonical FROM domain_name WHERE name = '%d')";

/// What a client's address is throttled as: itself, or the /64 of an IPv6 address, such as
/// `2001:db8:0:0::/64`. The place of `::` is filled with zeros, then the first four groups count.
const NETWORK: &str = "
    SELECT CASE WHEN instr(ip, ':')
           THEN json_extract(groups, '$[0]') || ':' || json_extract(groups, '$[1]') || ':'
             || json_extract(groups, '$[2]') || ':' || json_extract(groups, '$[3]') || '::/64'
           ELSE ip END
      FROM (SELECT ip, '[\"' || replace(trim(replace(ip, '::',
                     substr(':0:0:0:0:0:0:0:0:', 1, 17 - 2 * given)), ':'), ':', '\",\"') || '\"]'
                   AS groups
              FROM (SELECT ip, length(ip) - length(replace(ip, ':', ''))
                             - (substr(ip, 1, 2) = '::') - (substr(ip, -2) = '::') AS given
                      FROM (SELECT '%r' AS ip)))";

/// Postfix does not look at `nologin`: what is refused has no row for it. Others are told why, by
/// the credential's query: whose password is wrong learns nothing of the account. Who is under
/// maintenance may try again later, as `STANDING_QUERY` says; Postfix says it after signing in.
/// Before the first snapshot the query fails, on purpose: an error is a temporary failure.
const ACCOUNT_QUERY: &str = "
    SELECT user, umail_id, NULL AS password, 'y' AS nopassword,
           nullif(reason, '') AS umail_reason,
           CASE WHEN reason = '' AND rests THEN 'y' END AS umail_rests,
           CASE WHEN has_app_passwords THEN 'y' END AS umail_app_passwords,
           CASE WHEN reason = '' AND elsewhere THEN 'y' END AS proxy,
           CASE WHEN reason = '' AND elsewhere THEN storage_name END AS host,
           CASE WHEN reason = '' AND elsewhere THEN storage_address END AS hostip,
           CASE WHEN reason = '' AND elsewhere
                THEN CASE '%s' WHEN 'pop3' THEN {pop3} ELSE {imap} END END AS port,
           CASE WHEN reason = '' AND elsewhere THEN 'yes' END AS starttls
      FROM (SELECT a.address AS user, a.user_id AS umail_id, a.storage_name, a.storage_address,
                   '%s' IN ('pop3', 'imap') AND a.storage_node_id <> '{node}' AS elsewhere,
                   '%s' IN ('pop3', 'imap') AND a.status = 3 AS rests,
                   a.functions & 64 AS has_app_passwords,
                   CASE WHEN NOT a.functions & {needed} THEN 'This service is not enabled for you'
                        WHEN a.status = 5 THEN 'The account is closed'
                        WHEN a.status = 4 THEN 'The account is suspended'
                        WHEN a.status = 2 THEN 'The account is locked'
                        WHEN '%s' = 'smtp' OR a.status = 3 THEN ''
                        WHEN a.held THEN 'The mailbox is being moved, try again later'
                        WHEN a.storage_address IS NULL AND a.storage_node_id <> '{node}'
                        THEN 'The mailbox has no storage node yet, try again later'
                        ELSE '' END AS reason
              FROM account a
             WHERE {meant} AND a.status < 6
               AND NOT EXISTS (SELECT 1 FROM throttled, (SELECT ({network}) AS network)
                                WHERE key IN ('addr:' || network, 'user:' || a.address,
                                              'pair:' || a.address || '|' || network)))
     WHERE reason = '' OR '%s' <> 'smtp'
    UNION ALL SELECT abs(-9223372036854775807 - one), '', '', '', '', '', '', '', '', '', '', ''
      FROM unready";

/// Only nodes of the fleet hand in mail.
const FORWARD_QUERY: &str = "
    SELECT a.address AS user, NULL AS password, 'y' AS nopassword, 'y' AS proxy, a.storage_name AS host,
           a.storage_address AS hostip, {lmtp} AS port, 'yes' AS starttls
      FROM account a
     WHERE {meant} AND '%s' = 'lmtp' AND '%r' IN ({fleet})
       AND a.storage_node_id <> '{node}' AND a.storage_address IS NOT NULL
       AND NOT a.held AND a.status < 3";

const CREDENTIAL_QUERY: &str = "
    SELECT hash AS password, CASE {kind} WHEN 2 THEN id END AS umail_app_password,
           nullif('%{passdb:umail_reason}', '') AS reason,
           CASE WHEN '%{passdb:umail_reason}' <> '' THEN 'y' END AS nologin
      FROM live_credential
     WHERE user_id = '%{passdb:umail_id}' AND kind = {kind} AND functions & {needed} <> 0
       AND ({kind} = 1 OR '%{passdb:umail_app_passwords}' = 'y')
     ORDER BY id DESC LIMIT 1 OFFSET {place}";

/// Fails on purpose for who is under maintenance: Dovecot has no other way to say that a login is
/// refused for now, and clients take a refusal for a wrong password.
const STANDING_QUERY: &str = "
    SELECT NULL AS password, 'y' AS nopassword WHERE '%{passdb:umail_rests}' = ''
    UNION ALL SELECT abs(-9223372036854775807 - 1), '' WHERE '%{passdb:umail_rests}' <> ''";

/// What the script of automatic replies is told of a user; see `reply.rs`.
const TOLD: [&str; 4] = ["text", "subject", "addresses", "inside"];

/// One of them. Asked one by one: joined, the view would be
/// read from its beginning for each message.
const REPLY: &str = "
    CASE WHEN '%s' = 'lmtp' THEN (SELECT r.{what} FROM reply r WHERE r.user_id = a.user_id)
    END AS sieve_env_umail_reply_{what}";

/// Every user that is known has a place here: the destination of a move fills it before it is
/// the owner. Who does not own the user never says that there is none; auth breaks down when
/// that row has no name.
const MAILBOX_QUERY: &str = "
    SELECT a.address AS user, '{mail}/' || a.user_id AS home,
           CASE WHEN NOT a.quota_unlimited THEN '*:bytes=' || a.quota_bytes END AS quota_rule,
           CASE WHEN '%s' IN ('lmtp', 'pop3', 'imap')
                     AND (a.held OR a.status = 3 OR a.deferred OR a.storage_node_id <> '{node}')
                     OR '%s' = 'lmtp' AND '%r' NOT IN ({fleet})
                THEN 'y' END AS tempfail,
           {reply}
      FROM account a
     WHERE {meant} AND (a.status < 4 OR a.deferred OR '%s' <> 'lmtp')
    UNION ALL SELECT '%u', '/nonexistent', NULL, 'y', NULL, NULL, NULL, NULL
     WHERE NOT EXISTS (SELECT 1 FROM account a WHERE {meant})";

pub(super) fn all(source: &Source<'_>) -> Vec<(String, String)> {
    let directory = source.layout.directory_db();
    let secrets = source.layout.secrets_db();
    let file = |name: &str, database: &Path, query: &'static str, kind: &str| {
        (name.to_owned(), content(source, database, query, kind))
    };
    let mut files = vec![
        file(FORWARD, &directory, FORWARD_QUERY, "password_query"),
        file(ACCOUNT, &directory, ACCOUNT_QUERY, "password_query"),
        file(STANDING, &directory, STANDING_QUERY, "password_query"),
        file(MAILBOX, &directory, MAILBOX_QUERY, "user_query"),
    ];
    let credential = |kind: u8, place: usize| {
        content(source, &secrets, CREDENTIAL_QUERY, "password_query")
            .replace("{kind}", &kind.to_string())
            .replace("{place}", &place.to_string())
    };
    files.push((PASSWORD.to_owned(), credential(1, 0)));
    files.extend(
        (0..APP_PASSWORDS_TRIED).map(|place| (app_password_file(place), credential(2, place))),
    );
    files
}

/// Without line breaks.
fn flat(query: &str) -> String {
    query.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn content(source: &Source<'_>, database: &Path, query: &str, kind: &str) -> String {
    let ports = source.config.ports;
    let reply = |what: &str| flat(REPLY).replace("{what}", what);
    let query = flat(query)
        .replace("{meant}", &flat(MEANT))
        .replace("{network}", &flat(NETWORK))
        .replace("{reply}", &TOLD.map(reply).join(", "))
        .replace("{needed}", &format!("({NEEDED})"))
        .replace("{node}", &source.settings.node_id)
        .replace("{fleet}", &fleet(source))
        .replace("{mail}", &source.layout.mail().display().to_string())
        .replace("{pop3}", &ports.pop3.to_string())
        .replace("{imap}", &ports.imap.to_string())
        .replace("{lmtp}", &ports.lmtp.to_string());
    // Read-only: the last reader to leave would otherwise take the log with it.
    format!(
        "driver = sqlite\nconnect = file:{}?mode=ro\ndefault_pass_scheme = ARGON2ID\n\
         {kind} = {query}\n",
        database.display()
    )
}

/// Addresses that mail is taken from: this node, and those that hand it on.
fn fleet(source: &Source<'_>) -> String {
    let mut fleet = source.settings.peers_with(&[Role::Smtp, Role::Storage]);
    fleet.extend([source.config.address, IpAddr::from([127, 0, 0, 1])]);
    fleet.push(std::net::Ipv6Addr::LOCALHOST.into());
    fleet.sort_unstable();
    fleet.dedup();
    fleet.iter().map(|address| format!("'{address}'")).collect::<Vec<_>>().join(", ")
}

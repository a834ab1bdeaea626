//! The maps: what Postfix asks the views of the replica.
//!
//! `%u` and `%d` are the halves of an address, `%s` is all of it; Postfix quotes them. A query
//! with `%u` or `%d` is not even made for keys that are no address.

use umail_proto::functions::Function;

use super::Source;

/// A map's file.
pub(super) struct Map {
    /// Its name in the configuration folder.
    pub(super) file: &'static str,
    /// What stands in it.
    pub(super) content: String,
}

/// Files of all maps.
pub(super) const FILES: [&str; 19] = [
    "unready.cf",
    "own_name.cf",
    "domains.cf",
    "hosted.cf",
    "mailboxes.cf",
    "aliases.cf",
    "catch_all.cf",
    "transport.cf",
    "refusals.cf",
    "domain_refusals.cf",
    "inside_recipients.cf",
    "narrow_recipients.cf",
    "closed_groups.cf",
    "group_senders.cf",
    "outward.cf",
    "inside_senders.cf",
    "resting_senders.cf",
    "senders.cf",
    "storage_tls.cf",
];

const UNREADY: &str =
    "SELECT '421 4.3.2 The directory has not arrived yet, try again' FROM unready WHERE '%s' <> ''";

/// The node's own name is a domain of aliases only, for those who write to its postmaster.
const OWN_NAME: &str = "
    SELECT 1 WHERE '%s' = '{hostname}'
       AND NOT EXISTS (SELECT 1 FROM domain_name WHERE name = '{hostname}')";

const DOMAINS: &str = "SELECT 1 FROM domain_name WHERE name = '%s'";

/// Recipients that may be written to from anywhere. An access map, since smtpd keeps what it
/// resolved once: a domain that was just created would not be taken for ours.
const HOSTED: &str = "
    SELECT 'OK' FROM domain_name WHERE name = '%d' AND '%u' <> ''
    UNION SELECT 'OK' WHERE '%d' = '{hostname}' AND '%u' <> ''";

const MAILBOXES: &str = "
    SELECT 1 FROM user u JOIN domain d ON d.id = u.domain_id
     WHERE d.name = '%d' AND u.local_part = '%u'";

/// In this order: an alias, a group or a forwarding; a user without one stands for itself, so that the
/// catch-all does not get its mail; a name of the domain leads to the canonical one;
/// postmaster and abuse lead to somebody.
const ALIASES: &str = "
    SELECT target FROM route WHERE domain = '%d' AND local_part = '%u'
    UNION SELECT address FROM account a WHERE domain = '%d' AND local_part = '%u'
       AND NOT EXISTS (SELECT 1 FROM route r
                        WHERE r.domain = a.domain AND r.local_part = a.local_part)
    UNION SELECT '%u@' || canonical FROM domain_name n WHERE name = '%d' AND is_alias
       AND EXISTS (SELECT 1 FROM known_address k
                    WHERE k.domain = n.canonical AND k.local_part = '%u')
    UNION SELECT target FROM fallback
     WHERE '%u' IN ('postmaster', 'abuse') AND domain = '%d' AND local_part = '%u'
       AND target IS NOT NULL
    UNION SELECT target FROM system_address
     WHERE '%d' = '{hostname}' AND '%u' IN ('postmaster', 'abuse') AND target IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM domain_name WHERE name = '{hostname}')";

/// Asked as `@domain`, after everything else.
const CATCH_ALL: &str = "
    SELECT n.catch_all FROM domain_name n JOIN domain d ON d.id = n.domain_id
     WHERE n.name = substr('%s', 2) AND '%s' LIKE '@%%' AND n.catch_all <> ''
       AND (d.functions & {external_send}
            OR EXISTS (SELECT 1 FROM domain_name o
                        WHERE o.name = substr(n.catch_all, instr(n.catch_all, '@') + 1)
                          AND o.domain_id = n.domain_id))
       AND NOT EXISTS (SELECT 1 FROM closed_group c
                        WHERE c.domain = substr(n.catch_all, instr(n.catch_all, '@') + 1)
                          AND c.local_part = substr(n.catch_all, 1, instr(
                                replace(n.catch_all, '+', '@'), '@') - 1))";

/// A user without a storage node falls into the safety net, and everything does before the
/// first snapshot: mail in the queue would go out into the world. Under every name of the domain:
/// one that was renamed has mail in the queue under the old one.
const TRANSPORT: &str = "
    SELECT 'lmtp:inet:[' || storage_address || ']:{lmtp}' FROM account
     WHERE domain = (SELECT canonical FROM domain_name WHERE name = '%d')
       AND local_part = '%u' AND storage_address IS NOT NULL
    UNION ALL SELECT 'lmtp:inet:[127.0.0.1]:9' FROM unready WHERE '%d' <> ''";

const REFUSALS: &str = "
    SELECT answer FROM refusal
     WHERE domain = (SELECT canonical FROM domain_name WHERE name = '%d') AND local_part = '%u'";

/// A map of its own: that of the users is asked first for all forms of an address, tags included.
const DOMAIN_REFUSALS: &str = "
    SELECT answer FROM domain_refusal
     WHERE domain = (SELECT canonical FROM domain_name WHERE name = '%d') AND '%u' <> ''";

/// Who takes no mail from outside; asked where mail from outside arrives.
const INSIDE_RECIPIENTS: &str =
    "SELECT '550 5.7.1 The mailbox takes mail from inside only' FROM ({narrow})";

/// The same where users hand mail in, who may be of another domain; the answer is the name of a
/// class of restrictions.
const NARROW_RECIPIENTS: &str = "SELECT 'inside_senders' FROM ({narrow})";

/// One row for whoever takes no mail from outside, and for what falls to him as the catch-all.
const NARROW: &str = "
    SELECT 1 FROM narrow_recipient
     WHERE domain = (SELECT canonical FROM domain_name WHERE name = '%d') AND local_part = '%u'
    UNION SELECT 1 FROM domain_name n
      JOIN domain_name c ON c.name = substr(n.catch_all, instr(n.catch_all, '@') + 1)
      JOIN narrow_recipient r ON r.domain = c.canonical
       AND r.local_part = substr(n.catch_all, 1, instr(n.catch_all, '@') - 1)
     WHERE n.name = '%d' AND {unclaimed}";

/// Whether the address in the domain `n` falls to its catch-all. Postfix asks with the tag first.
const UNCLAIMED: &str = "
    n.catch_all <> '' AND '%u' NOT IN ('postmaster', 'abuse')
    AND NOT EXISTS (SELECT 1 FROM known_address k
                     WHERE k.domain = n.canonical
                       AND k.local_part IN ('%u', substr('%u', 1, instr('%u+', '+') - 1)))";

/// Groups that strangers may not write to; asked where mail from outside arrives.
const CLOSED_GROUPS: &str = "
    SELECT CASE posting WHEN 2 THEN '550 5.7.1 Only users of its domain may write to the group'
                ELSE '550 5.7.1 Only its members may write to the group' END
      FROM closed_group WHERE domain = '%d' AND local_part = '%u'";

/// The same where users hand mail in: the agent knows whether one of them may. The answer is the
/// name of a class of restrictions.
const GROUP_SENDERS: &str =
    "SELECT 'group_senders' FROM closed_group WHERE domain = '%d' AND local_part = '%u'";

/// Addresses other than users' that lead out of the fleet; asked for those who may not send there.
const OUTWARD: &str = "
    SELECT '554 5.7.1 The address leads outside, and you may write to your own domain only'
      FROM route r
     WHERE domain = (SELECT canonical FROM domain_name WHERE name = '%d') AND local_part = '%u'
       AND NOT EXISTS (SELECT 1 FROM account a
                        WHERE a.domain = r.domain AND a.local_part = r.local_part)
       AND NOT EXISTS (SELECT 1 FROM domain_name n
                        WHERE n.name = substr(r.target, instr(r.target, '@') + 1))
    UNION SELECT '554 5.7.1 The address leads outside, and you may write to your own domain only'
      FROM domain_name n
     WHERE n.name = '%d' AND {unclaimed}
       AND NOT EXISTS (SELECT 1 FROM domain_name c
                        WHERE c.name = substr(n.catch_all, instr(n.catch_all, '@') + 1))";

/// Who has signed in and sends no mail to the outside, which a class of restrictions sees to, or
/// none any more: a session outlasts the right to have one.
const INSIDE_SENDERS: &str = "
    SELECT CASE WHEN status IN (1, 3) THEN 'inside_only' ELSE '550 5.7.1 The account is locked' END
      FROM account
     WHERE domain = '%d' AND local_part = '%u'
       AND (status NOT IN (1, 3) OR NOT functions & {external_send})";

/// Who has signed in and cannot send for now; the client keeps the message and tries again.
const RESTING_SENDERS: &str = "
    SELECT '450 4.2.1 The mailbox is under maintenance, try again' FROM account
     WHERE domain = '%d' AND local_part = '%u' AND status = 3";

const SENDERS: &str = "SELECT owner FROM sender_owner WHERE domain = '%d' AND local_part = '%u'";

/// The name in the certificate of the storage node at this next hop.
const STORAGE_TLS: &str = "
    SELECT 'secure match=' || name FROM storage_node
     WHERE '%s' IN ('[' || address || ']:{lmtp}', 'inet:[' || address || ']:{lmtp}')";

pub(super) fn all(source: &Source<'_>) -> Vec<Map> {
    let queries = [
        UNREADY,
        OWN_NAME,
        DOMAINS,
        HOSTED,
        MAILBOXES,
        ALIASES,
        CATCH_ALL,
        TRANSPORT,
        REFUSALS,
        DOMAIN_REFUSALS,
        INSIDE_RECIPIENTS,
        NARROW_RECIPIENTS,
        CLOSED_GROUPS,
        GROUP_SENDERS,
        OUTWARD,
        INSIDE_SENDERS,
        RESTING_SENDERS,
        SENDERS,
        STORAGE_TLS,
    ];
    let database = source.layout.directory_db();
    let lmtp = source.config.ports.lmtp.to_string();
    let map = |(file, query): (&'static str, &str)| {
        let query = query.replace("{narrow}", NARROW).replace("{unclaimed}", UNCLAIMED);
        let query = query.split_whitespace().collect::<Vec<_>>().join(" ");
        let query = query.replace("{hostname}", &source.settings.hostname.to_ascii_lowercase());
        let query = query.replace("{lmtp}", &lmtp);
        let bit = |function: Function| (function as u64).to_string();
        let query = query.replace("{external_send}", &bit(Function::ExternalSend));
        // Read-only: the last reader to leave would otherwise take the log with it.
        let content = format!(
            "dbpath = file:{}?mode=ro\nexpansion_limit = 0\nquery = {query}\n",
            database.display()
        );
        Map { file, content }
    };
    FILES.into_iter().zip(queries).map(map).collect()
}

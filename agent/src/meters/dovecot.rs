//! Reads the lines of Dovecot's log, as Dovecot 2.3 writes them with the plugin `mail_log`.

use uuid::Uuid;

use super::event::{Event, Protocol, last_number, number};

/// `Nov 24 20:42:24 pop3-login: Info: text`, `… imap(user)<pid><session>: Info: text`.
pub(super) fn parse(line: &str) -> Option<Event> {
    let line = line.get(16..)?;
    let (process, text) = line.split_once(": Info: ")?;
    match process {
        "pop3-login" => login(text, Protocol::Pop3),
        "imap-login" => login(text, Protocol::Imap),
        "stats" => submitting(text),
        _ => {
            let (process, rest) = process.split_once('(')?;
            // The session id behind it has no parenthesis.
            let user = rest.rsplit_once(')')?.0;
            session(process, user, text)
        }
    }
}

fn login(text: &str, protocol: Protocol) -> Option<Event> {
    if text.starts_with("Login: user=<") {
        let (user, address) = who(text)?;
        return Some(Event::LoggedIn { user, address, app_password: app_password(text) });
    }
    if let Some(proxied) = text.strip_prefix("proxy(") {
        return proxy(proxied, protocol);
    }
    // Up to the name, nothing in the line is a stranger's choice.
    let (reason, _) = text.split_once(": user=<")?;
    let (_, attempts) = reason.split_once("(auth failed, ")?;
    let attempts = u32::try_from(number(attempts)?).unwrap_or(u32::MAX);
    let (user, address) = who(text)?;
    Some(Event::LoginFailed { user, address, attempts })
}

/// `user,host:port): Started proxying to …`, and at the end `… (0s idle, in=284, out=1940): user=<…`.
fn proxy(text: &str, protocol: Protocol) -> Option<Event> {
    let (_target, text) = text.split_once("): ")?;
    if text.starts_with("Started proxying to ") {
        let (user, address) = who(text)?;
        return Some(Event::LoggedIn { user, address, app_password: None });
    }
    let (reason, _) = text.split_once("): user=<")?;
    if !reason.starts_with("Disconnected") {
        return None;
    }
    Some(Event::Session { protocol, bytes: last_number(reason, ", out=")? })
}

/// The app password at the end of a line.
fn app_password(text: &str) -> Option<Uuid> {
    let (_, id) = text.rsplit_once(", app_password=<")?;
    Uuid::parse_str(id.strip_suffix('>')?).ok()
}

/// An event, as the metric `app_passwords_for_submission` has it written.
fn submitting(text: &str) -> Option<Event> {
    #[derive(serde::Deserialize)]
    struct Finished {
        end_time: f64,
        fields: Fields,
    }
    #[derive(serde::Deserialize)]
    struct Fields {
        user: String,
        #[serde(default)]
        remote_ip: String,
        passdb_name: String,
    }
    let Finished { end_time, fields } = serde_json::from_str(text).ok()?;
    let place = fields.passdb_name.strip_prefix("app-password-")?.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "what does not fit is not now")]
    let at = end_time as i64;
    Some(Event::Submitting {
        user: fields.user.to_lowercase(),
        address: fields.remote_ip,
        place,
        at,
    })
}

/// Name and address of a client. The address is the last of its kind: the name may hold anything.
fn who(text: &str) -> Option<(String, String)> {
    let (_, rest) = text.split_once("user=<")?;
    let (before, after) = rest.rsplit_once(", rip=")?;
    let address = after.split(',').next()?.to_owned();
    let user = before.rsplit_once(">, method=").map_or(before, |(user, _)| user);
    Some((user.trim_end_matches('>').to_lowercase(), address))
}

fn session(process: &str, user: &str, text: &str) -> Option<Event> {
    let user = || user.to_lowercase();
    let is_change =
        ["save: box=", "copy: box=", "expunge: box="].iter().any(|change| text.starts_with(change));
    match process {
        "lmtp" if text.starts_with("save: box=") => {
            Some(Event::Stored { user: user(), bytes: last_number(text, ", size=")? })
        }
        _ if is_change => Some(Event::Changed { user: user() }),
        "pop3" if text.starts_with("Disconnected") || text.starts_with("Server ") => {
            let (before, retr) = text.rsplit_once(", retr=")?;
            let top = before.rsplit_once(" top=").map(|(_, top)| top).and_then(bytes);
            let bytes = bytes(retr)? + top.unwrap_or_default();
            Some(Event::Session { protocol: Protocol::Pop3, bytes })
        }
        "imap" if text.starts_with("Disconnected") || text.starts_with("Server ") => {
            Some(Event::Session { protocol: Protocol::Imap, bytes: last_number(text, " out=")? })
        }
        _ => None,
    }
}

/// The bytes of `messages/bytes`.
fn bytes(pair: &str) -> Option<u64> {
    number(pair.split_once('/')?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged_in(user: &str) -> Event {
        let (user, address) = (user.to_owned(), "127.0.0.1".to_owned());
        Event::LoggedIn { user, address, app_password: None }
    }

    fn failed(user: &str, attempts: u32) -> Event {
        let (user, address) = (user.to_owned(), "127.0.0.1".to_owned());
        Event::LoginFailed { user, address, attempts }
    }

    fn stored(bytes: u64) -> Event {
        Event::Stored { user: "ada@example.org".to_owned(), bytes }
    }

    // The lines are those of Dovecot 2.3.19.1.

    #[test]
    fn deliveries_are_counted_where_they_are_saved() {
        assert_eq!(
            parse(
                "Nov 24 20:42:19 lmtp(ada@example.org)<23972><EF9+Iav2BWukXQAAg+zDdQ>: Info: save: box=INBOX, uid=1, msgid=<20261124200310.022387@vm>, size=612"
            ),
            Some(stored(612)),
        );
        for line in [
            "Nov 24 20:42:19 lmtp(ada@example.org)<23972><EF9+Iav2BWukXQAAg+zDdQ>: Info: msgid=<20261124200310.022387@vm>: saved mail to INBOX",
            "Nov 24 20:42:19 lmtp(bob@example.org)<23979><0HKxIqv2BWurXQAAg+zDdQ>: Info: msgid=<20261124200411.024967@vm>: save failed to INBOX: Quota exceeded (mailbox for user is full)",
            "Nov 24 20:42:19 lmtp(23972): Info: Connect from 127.0.0.1",
            "Nov 24 20:42:18 master: Info: Dovecot v2.3.19.1 (9b53102964) starting up for imap, pop3, lmtp (core dumps disabled)",
            "Nov 24 20:42:38 imap(bob@example.org)<24271><EzDGvwth8Kh/AAAB>: Info: delete: box=INBOX, uid=1, msgid=<20261124200310.022387@vm>, size=612",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn whatever_changes_a_mailbox_is_told() {
        for line in [
            "Nov 24 20:42:38 imap(bob@example.org)<24271><EzDGvwth8Kh/AAAB>: Info: expunge: box=INBOX, uid=1, msgid=<20261124200310.022387@vm>, size=612",
            "Nov 24 20:42:38 imap(bob@example.org)<24271><EzDGvwth8Kh/AAAB>: Info: save: box=INBOX, uid=3, msgid=<a b@\"x)>, size=37",
        ] {
            assert_eq!(parse(line), Some(Event::Changed { user: "bob@example.org".to_owned() }));
        }
    }

    #[test]
    fn sessions_are_counted_at_their_end() {
        let session = |protocol, bytes| Event::Session { protocol, bytes };
        assert_eq!(
            parse(
                "Nov 24 20:42:24 pop3(ada@example.org)<24104><qH1xvwth4oB/AAAB>: Info: Disconnected: Logged out top=1/20, retr=1/648, del=1/2, size=1250"
            ),
            Some(session(Protocol::Pop3, 668)),
        );
        assert_eq!(
            parse(
                "Nov 24 20:42:38 imap(bob@example.org)<24271><EzDGvwth8Kh/AAAB>: Info: Disconnected: Logged out in=170 out=1842 deleted=1 expunged=1 trashed=0 hdr_count=0 hdr_bytes=0 body_count=1 body_bytes=632"
            ),
            Some(session(Protocol::Imap, 1842)),
        );
        assert_eq!(
            parse(
                "Nov 24 20:43:10 imap-login: Info: proxy(bob@example.org,127.0.0.1:21143): Disconnected by server (0s idle, in=284, out=1940): user=<bob@example.org>, method=PLAIN, rip=127.0.0.1, lip=127.0.0.1, secured, session=<QfwowgthTJF/AAAB>"
            ),
            Some(session(Protocol::Imap, 1940)),
        );
        assert_eq!(
            parse(
                "Nov 24 20:43:10 pop3-login: Info: proxy(ada@example.org,127.0.0.1:21110): Disconnected by server (0s idle, in=49, out=705): user=<ada@example.org>, method=PLAIN, rip=127.0.0.1, lip=127.0.0.1, secured, session=<o4gpwgth1pl/AAAB>"
            ),
            Some(session(Protocol::Pop3, 705)),
        );
    }

    #[test]
    fn logins_tell_who_and_from_where() {
        assert_eq!(
            parse(
                "Nov 24 20:42:24 pop3-login: Info: Login: user=<ada@example.org>, method=PLAIN, rip=127.0.0.1, lip=127.0.0.1, mpid=24104, secured, session=<qH1xvwth4oB/AAAB>"
            ),
            Some(logged_in("ada@example.org")),
        );
        assert_eq!(
            parse(
                "Nov 24 20:43:10 pop3-login: Info: proxy(ada@example.org,127.0.0.1:21110): Started proxying to <127.0.0.1> (0.012 secs): user=<ada@example.org>, method=PLAIN, rip=127.0.0.1, lip=127.0.0.1, secured, session=<o4gpwgth1pl/AAAB>"
            ),
            Some(logged_in("ada@example.org")),
        );
        assert_eq!(
            parse(
                "Nov 24 20:42:25 pop3-login: Info: Disconnected: Connection closed (auth failed, 3 attempts in 1 secs): user=<ada@example.org>, method=PLAIN, rip=127.0.0.1, lip=127.0.0.1, secured, session=<lcRxvwth7IB/AAAB>"
            ),
            Some(failed("ada@example.org", 3)),
        );
        assert_eq!(
            parse(
                "Nov 24 20:42:39 pop3-login: Info: Disconnected: Connection closed (no auth attempts in 0 secs): user=<>, rip=127.0.0.1, lip=127.0.0.1, secured, session=<1VhQwAthGIN/AAAB>"
            ),
            None,
        );
    }

    #[test]
    fn app_passwords_are_told_by_whoever_has_verified_them() {
        let id = "00000000-0000-0000-0000-000000000016";
        let login = |rest: &str| {
            parse(&format!(
                "Nov 26 10:52:30 imap-login: Info: Login: user=<ada@example.org>, method=PLAIN, rip=127.0.0.1, lip=127.0.0.1, mpid=20014, TLS, session=<DNlwvSthjoR/AAAB>{rest}"
            ))
        };
        let used = |app_password: Option<Uuid>| {
            let (user, address) = ("ada@example.org".to_owned(), "127.0.0.1".to_owned());
            Some(Event::LoggedIn { user, address, app_password })
        };
        assert_eq!(login(&format!(", app_password=<{id}>")), used(id.parse().ok()));
        assert_eq!(login(", app_password=<>"), used(None));
        assert_eq!(login(""), used(None));
        assert_eq!(
            parse(
                r#"Nov 26 10:52:32 stats: Info: {"event":"auth_passdb_request_finished","hostname":"vm","start_time":1795690352.05,"end_time":1795690352.1,"categories":["auth","service:auth"],"fields":{"user":"ada@example.org","remote_ip":"127.0.0.1","passdb_name":"app-password-3"}}"#
            ),
            Some(Event::Submitting {
                user: "ada@example.org".to_owned(),
                address: "127.0.0.1".to_owned(),
                place: 3,
                at: 1_795_690_352,
            }),
        );
    }

    #[test]
    fn a_name_cannot_blame_another_address() {
        let line = "Nov 24 20:42:25 imap-login: Info: Disconnected: Connection closed (auth failed, 1 attempts in 1 secs): user=<x>, method=PLAIN, rip=192.0.2.1, lip=>, method=PLAIN, rip=127.0.0.1, lip=127.0.0.1, secured, session=<lcRxvwth7IB/AAAB>";
        assert_eq!(parse(line), Some(failed("x>, method=plain, rip=192.0.2.1, lip=", 1)));
        let line = "Nov 24 20:42:19 lmtp(ada@example.org)<2><x>: Info: save: box=a, size=9, uid=1, msgid=<, size=7>, size=612";
        assert_eq!(parse(line), Some(stored(612)));
    }
}

//! Reads the lines of Postfix's `maillog_file`, as Postfix 3.5 and later write them.

use super::event::{Event, Outcome, number};

/// `Nov 24 20:42:19 host postfix/submission/smtpd[23980]: text`.
pub(super) fn parse(line: &str) -> Option<Event> {
    // The time has a fixed length, and the host's name has no blank.
    let (_host, rest) = line.get(16..)?.split_once(' ')?;
    let (tag, text) = rest.split_once("]: ")?;
    let process = tag.rsplit_once('[')?.0.rsplit('/').next()?;
    match process {
        "smtpd" => smtpd(text),
        "qmgr" => qmgr(text),
        "cleanup" => cleanup(text),
        _ => delivery(text, process == "lmtp"),
    }
}

fn smtpd(text: &str) -> Option<Event> {
    if let Some(warning) = text.strip_prefix("warning: ") {
        return login_failed(warning);
    }
    let (queue_id, text) = text.split_once(": ")?;
    if text.starts_with("reject: ") || text.starts_with("milter-reject: ") {
        let of_message = ["DATA from ", "BDAT from ", "END-OF-MESSAGE from "]
            .iter()
            .any(|stage| text.strip_prefix("reject: ").is_some_and(|text| text.starts_with(stage)));
        return Some(match valid(queue_id).filter(|_| of_message) {
            Some(queue_id) => Event::GivenUp { queue_id },
            None => Event::Rejected,
        });
    }
    text.strip_prefix("client=")?;
    // Only who has signed in has a name here, and with it the right to choose it.
    let is_submission = text.contains(", sasl_username=");
    Some(Event::Entered { queue_id: valid(queue_id)?, is_submission })
}

/// `host[ip]: SASL PLAIN authentication failed: (reason unavailable), sasl_username=name`.
fn login_failed(text: &str) -> Option<Event> {
    let (client, rest) = text.split_once("]: SASL ")?;
    let (_mechanism, reason) = rest.split_once(" authentication failed: ")?;
    // Our own fault, not a guess.
    if reason.starts_with("Connection lost") || reason.starts_with("Temporary") {
        return None;
    }
    let user = reason.split_once(", sasl_username=").map(|(_, user)| user).unwrap_or_default();
    let address = client.rsplit_once('[')?.1.to_owned();
    Some(Event::LoginFailed { user: user.to_lowercase(), address, attempts: 1 })
}

fn cleanup(text: &str) -> Option<Event> {
    let (_queue_id, text) = text.split_once(": ")?;
    text.starts_with("milter-reject: ").then_some(Event::Rejected)
}

/// `ID: from=<a@b>, size=414, nrcpt=1 (queue active)`, or `ID: removed`.
fn qmgr(text: &str) -> Option<Event> {
    let (queue_id, text) = text.split_once(": ")?;
    let queue_id = valid(queue_id)?;
    if text == "removed" {
        return Some(Event::Removed { queue_id });
    }
    let rest = behind_address(text, "from=<")?;
    let bytes = number(rest.strip_prefix(", size=")?)?;
    Some(Event::Queued { queue_id, bytes })
}

/// `ID: to=<a@b>, orig_to=<c@d>, relay=…, delay=…, delays=…, dsn=2.0.0, status=sent (…)`.
fn delivery(text: &str, is_to_mailbox: bool) -> Option<Event> {
    let (queue_id, text) = text.split_once(": ")?;
    let queue_id = valid(queue_id)?;
    let address_to = behind_address(text, "to=<")?;
    let rest = behind_address(address_to, ", orig_to=<").unwrap_or(address_to);
    let (before, status) = rest.split_once(", status=")?;
    let outcome = match status.split_once(' ').map_or(status, |(status, _)| status) {
        "sent" => Outcome::Sent,
        "deferred" => Outcome::Deferred,
        "bounced" => Outcome::Bounced,
        _ => return None,
    };
    let is_full = is_to_mailbox && outcome == Outcome::Bounced && before.ends_with(", dsn=5.2.2");
    let address = text.strip_suffix(address_to).and_then(|text| text.strip_prefix("to=<"));
    let address = address.and_then(|address| address.strip_suffix('>')).map(str::to_lowercase);
    Some(Event::Tried { queue_id, outcome, full: address.filter(|_| is_full) })
}

/// What follows an address in angle brackets. Its local part may be quoted and hold anything.
fn behind_address<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    let text = text.strip_prefix(mark)?;
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, one) in text.char_indices() {
        match one {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            '>' if !is_quoted => return text.get(at + 1..),
            _ => {}
        }
    }
    None
}

fn valid(queue_id: &str) -> Option<String> {
    let is_valid = queue_id.len() >= 6
        && queue_id.len() <= 32
        && queue_id != "NOQUEUE"
        && queue_id.bytes().all(|one| one.is_ascii_alphanumeric());
    is_valid.then(|| queue_id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(line: &str) -> Option<Event> {
        parse(line)
    }

    fn entered(is_submission: bool, queue_id: &str) -> Event {
        Event::Entered { queue_id: queue_id.to_owned(), is_submission }
    }

    fn tried(outcome: Outcome, queue_id: &str) -> Event {
        Event::Tried { queue_id: queue_id.to_owned(), outcome, full: None }
    }

    // The lines are those of Postfix 3.7.11.

    #[test]
    fn an_entry_tells_whether_its_sender_has_signed_in() {
        assert_eq!(
            event(
                "Nov 24 20:03:10 mx postfix/smtpd[22377]: 1E36F98E0FF: client=localhost[127.0.0.1]"
            ),
            Some(entered(false, "1E36F98E0FF")),
        );
        assert_eq!(
            event(
                "Nov 24 20:42:19 mx postfix/submission/smtpd[23980]: 9DC4598E012: client=localhost[127.0.0.1], sasl_method=PLAIN, sasl_username=ada@example.org"
            ),
            Some(entered(true, "9DC4598E012")),
        );
    }

    #[test]
    fn the_queue_manager_tells_the_size_and_the_end() {
        assert_eq!(
            event(
                "Nov 24 20:03:10 mx postfix/qmgr[22232]: 2D27298E104: from=<x@out.test>, size=402, nrcpt=2 (queue active)"
            ),
            Some(Event::Queued { queue_id: "2D27298E104".to_owned(), bytes: 402 }),
        );
        assert_eq!(
            event(
                "Nov 24 20:42:19 mx postfix/qmgr[22232]: 9706698E0FF: from=<>, size=2364, nrcpt=1 (queue active)"
            ),
            Some(Event::Queued { queue_id: "9706698E0FF".to_owned(), bytes: 2364 }),
        );
        assert_eq!(
            event("Nov 24 20:42:19 mx postfix/qmgr[22232]: 2D27298E104: removed"),
            Some(Event::Removed { queue_id: "2D27298E104".to_owned() }),
        );
    }

    #[test]
    fn every_recipient_has_an_outcome() {
        assert_eq!(
            event(
                "Nov 24 20:42:19 mx postfix/lmtp[23971]: 2D27298E104: to=<ada@example.org>, relay=127.0.0.1[127.0.0.1]:21024, delay=2349, delays=2349/0.07/0.04/0.03, dsn=2.0.0, status=sent (250 2.0.0 <ada@example.org> EF9+Iav2BWukXQAAg+zDdQ Saved)"
            ),
            Some(tried(Outcome::Sent, "2D27298E104")),
        );
        assert_eq!(
            event(
                "Nov 24 20:03:10 mx postfix/lmtp[22386]: 1E36F98E0FF: to=<ada@example.org>, relay=none, delay=0.02, delays=0.01/0.01/0/0, dsn=4.4.1, status=deferred (connect to 127.0.0.1[127.0.0.1]:21024: Connection refused)"
            ),
            Some(tried(Outcome::Deferred, "1E36F98E0FF")),
        );
        assert_eq!(
            event(
                "Nov 24 20:42:19 mx postfix/smtp[23987]: 9706698E0FF: to=<x@out.test>, relay=none, delay=0.08, delays=0.05/0.03/0/0, dsn=5.4.4, status=bounced (Host or domain name not found. Name service error for name=out.test type=A: Host not found)"
            ),
            Some(tried(Outcome::Bounced, "9706698E0FF")),
        );
        assert_eq!(
            event(
                "Nov 24 20:42:19 mx postfix/lmtp[22386]: connect to 127.0.0.1[127.0.0.1]:21024: Connection refused"
            ),
            None,
        );
    }

    #[test]
    fn a_full_mailbox_is_named() {
        let full = |line| match event(line) {
            Some(Event::Tried { full, outcome: Outcome::Bounced, .. }) => full,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            full(
                "Nov 24 20:42:19 mx postfix/lmtp[23970]: 7F0E798E012: to=<Bob@example.org>, orig_to=<sales@example.org>, relay=127.0.0.1[127.0.0.1]:21024, delay=2288, delays=2288/0.11/0.01/0.02, dsn=5.2.2, status=bounced (host 127.0.0.1[127.0.0.1] said: 552 5.2.2 <bob@example.org> Quota exceeded (mailbox for user is full) (in reply to end of DATA command))"
            ),
            Some("bob@example.org".to_owned()),
        );
        // Another's mailbox, elsewhere; and what its server says.
        for line in [
            "Nov 24 20:42:19 mx postfix/smtp[1]: 7F0E798E012: to=<x@out.test>, relay=mx.out.test[192.0.2.1]:25, delay=1, delays=0/0/0/1, dsn=5.2.2, status=bounced (host mx.out.test said: 552 5.2.2 full)",
            "Nov 24 20:42:19 mx postfix/lmtp[1]: 7F0E798E012: to=<a@example.org>, relay=127.0.0.1[127.0.0.1]:24, delay=1, delays=0/0/0/1, dsn=5.1.1, status=bounced (host said: 550 x, dsn=5.2.2, status=bounced)",
        ] {
            assert_eq!(full(line), None, "{line}");
        }
    }

    #[test]
    fn a_message_that_is_refused_whole_has_no_entry_any_more() {
        let given_up = Event::GivenUp { queue_id: "7F0E798E012".to_owned() };
        for stage in ["DATA", "END-OF-MESSAGE"] {
            let line = format!(
                "Nov 24 20:03:10 mx postfix/submission/smtpd[1]: 7F0E798E012: reject: {stage} from localhost[127.0.0.1]: 450 4.7.1 <{stage}>: Your limit of 2 messages per hour is reached; from=<a@example.org> proto=ESMTP helo=<x>"
            );
            assert_eq!(event(&line), Some(given_up.clone()));
        }
        // Other recipients may have been accepted.
        let line = "Nov 24 20:03:10 mx postfix/smtpd[1]: 7F0E798E012: reject: RCPT from localhost[127.0.0.1]: 550 5.1.1 <n@example.org>: Recipient address rejected";
        assert_eq!(event(line), Some(Event::Rejected));
    }

    #[test]
    fn strangers_cannot_choose_the_outcome_by_their_addresses() {
        assert_eq!(
            event(
                r#"Nov 24 20:42:19 mx postfix/lmtp[1]: 9706698E0FF: to=<"a>, status=sent (\"x"@example.org>, orig_to=<"b>, status=sent "@example.org>, relay=none, delay=0, delays=0/0/0/0, dsn=5.1.1, status=bounced (host said: 550 x, status=sent (250)"#
            ),
            Some(tried(Outcome::Bounced, "9706698E0FF")),
        );
        assert_eq!(
            event(
                r#"Nov 24 20:42:19 mx postfix/qmgr[1]: 9706698E0FF: from=<"a>, size=9, "@x.org>, size=23, nrcpt=1 (queue active)"#
            ),
            Some(Event::Queued { queue_id: "9706698E0FF".to_owned(), bytes: 23 }),
        );
        // A message id is a stranger's choice, and cleanup's line is not an outcome.
        assert_eq!(
            event(
                "Nov 24 20:42:19 mx postfix/cleanup[1]: 9706698E0FF: message-id=<x]: AAAAAAAA: to=<a>, status=sent (>"
            ),
            None,
        );
    }

    #[test]
    fn refusals_and_failed_logins_are_told() {
        assert_eq!(
            event(
                "Nov 24 20:03:10 mx postfix/smtpd[22377]: NOQUEUE: reject: RCPT from localhost[127.0.0.1]: 554 5.7.1 <a@relay.test>: Relay access denied; from=<x@out.test> to=<a@relay.test> proto=ESMTP helo=<vm>"
            ),
            Some(Event::Rejected),
        );
        assert_eq!(
            event(
                "Nov 24 20:42:20 mx postfix/submission/smtpd[23980]: warning: localhost[127.0.0.1]: SASL PLAIN authentication failed: (reason unavailable), sasl_username=Ada@example.org"
            ),
            Some(Event::LoginFailed {
                user: "ada@example.org".to_owned(),
                address: "127.0.0.1".to_owned(),
                attempts: 1,
            }),
        );
        for line in [
            "Nov 24 20:42:20 mx postfix/submission/smtpd[1]: warning: localhost[127.0.0.1]: SASL PLAIN authentication failed: Connection lost to authentication server",
            "Nov 24 20:04:11 mx postfix/smtpd[22377]: warning: 9309D98E043: queue file size limit exceeded",
            "Nov 24 20:03:10 mx postfix/submission/smtpd[22410]: fatal: no SASL authentication mechanisms",
            "Nov 24 20:42:24 mx postfix/submission/smtpd[23980]: disconnect from localhost[127.0.0.1] ehlo=1 auth=1 mail=1 rcpt=0/1 quit=1 commands=4/5",
            "Nov 24 20:03:08 mx postfix/master[22229]: daemon started -- version 3.7.11, configuration /etc/x",
            "Nov 24",
            "",
        ] {
            assert_eq!(event(line), None, "{line}");
        }
    }
}

//! What Postfix says and hears (`SMTPD_POLICY_README`): lines `name=value`, and an empty one.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

/// More than any request of Postfix.
const REQUEST_LIMIT: u64 = 64 << 10;

/// When Postfix asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// After a recipient.
    Recipient,
    /// Before the message, of which the client may have told the size.
    Data,
    /// After the message.
    EndOfMessage,
    /// At another time.
    #[default]
    Other,
}

/// A question of Postfix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    /// When it is asked.
    pub(super) stage: Stage,
    /// Who has signed in; empty: nobody.
    pub(super) user: String,
    /// Whether it is asked who may write to a group.
    pub(super) is_about_group: bool,
    /// The recipient that is asked about.
    pub(super) recipient: String,
    /// How many recipients there are.
    pub(super) recipients: i64,
    /// The size of the message; 0 while it is not known.
    pub(super) size_bytes: i64,
}

/// Reads the next question; nothing when Postfix has closed.
pub(super) async fn read(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Request>> {
    let mut request = Request::default();
    let mut limited = from.take(REQUEST_LIMIT);
    let mut line = Vec::new();
    loop {
        line.clear();
        if limited.read_until(b'\n', &mut line).await? == 0 || line.pop() != Some(b'\n') {
            let is_too_long = limited.limit() == 0;
            return if is_too_long { Err(io::ErrorKind::InvalidData.into()) } else { Ok(None) };
        }
        if line.is_empty() {
            return Ok(Some(request));
        }
        let text = String::from_utf8_lossy(&line);
        // What is no attribute is not ours to judge.
        let Some((name, value)) = text.split_once('=') else { continue };
        match name {
            "protocol_state" => request.stage = stage(value),
            "sasl_username" => value.clone_into(&mut request.user),
            "policy_context" => request.is_about_group = value == "group",
            "recipient" => request.recipient = value.to_ascii_lowercase(),
            "recipient_count" => request.recipients = value.parse().unwrap_or_default(),
            "size" => request.size_bytes = value.parse().unwrap_or_default(),
            _ => {}
        }
    }
}

fn stage(state: &str) -> Stage {
    match state {
        "RCPT" => Stage::Recipient,
        "DATA" | "BDAT" => Stage::Data,
        "END-OF-MESSAGE" => Stage::EndOfMessage,
        _ => Stage::Other,
    }
}

/// The answer with this action of access(5).
pub(super) fn answer(action: &str) -> String {
    format!("action={action}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_are_read_one_after_the_other() {
        let text = b"request=smtpd_access_policy\nprotocol_state=DATA\nsize=12345\n\
            recipient_count=3\nsasl_username=anna@example.org\nrecipient=\nnew=\n\n\
            protocol_state=RCPT\nrecipient=Bob+tag@Example.ORG\n\nprotocol_state=RC";
        let mut from = &text[..];
        let first = read(&mut from).await.unwrap().unwrap();
        assert_eq!(first.stage, Stage::Data);
        assert_eq!((first.size_bytes, first.recipients), (12_345, 3));
        assert_eq!(first.user, "anna@example.org");
        let second = read(&mut from).await.unwrap().unwrap();
        assert_eq!(second.recipient, "bob+tag@example.org");
        assert_eq!(second.user, "");
        assert_eq!(read(&mut from).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_request_without_an_end_is_given_up() {
        let endless = vec![b'x'; 1 << 17];
        assert!(read(&mut &endless[..]).await.is_err());
        let endless = b"size=1\n".repeat(1 << 14);
        assert!(read(&mut &endless[..]).await.is_err());
    }
}

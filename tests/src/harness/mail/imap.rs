//! A client of IMAP.

use std::{collections::BTreeSet, net::SocketAddr};

use super::{Result, Trust, conversation::Conversation, header};
use crate::ensure;

/// What identifies a message of a mailbox and how it is marked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Unique id within the mailbox.
    pub uid: u32,
    /// Message-ID, without angle brackets.
    pub message_id: String,
    /// Flags but `\Recent`, which belongs to the session.
    pub flags: BTreeSet<String>,
}

/// A connection to an IMAP server over TLS.
#[derive(Debug)]
pub struct Imap {
    conversation: Conversation,
    commands: u32,
}

impl Imap {
    /// Connects over TLS and reads the greeting.
    pub async fn connect(server: SocketAddr, trust: &Trust) -> Result<Self> {
        let mut conversation = Conversation::connect(server, Some(trust)).await?;
        let greeting = conversation.hear().await?;
        ensure!(greeting.starts_with("* OK"), "IMAP: {greeting}");
        Ok(Self { conversation, commands: 0 })
    }

    /// Connects and signs in.
    pub async fn open(
        server: SocketAddr,
        trust: &Trust,
        user: &str,
        password: &str,
    ) -> Result<Self> {
        let mut imap = Self::connect(server, trust).await?;
        imap.command(&format!("LOGIN \"{user}\" \"{password}\"")).await?;
        Ok(imap)
    }

    /// Opens a mailbox and returns its UIDVALIDITY.
    pub async fn select(&mut self, mailbox: &str) -> Result<u32> {
        let lines = self.command(&format!("SELECT \"{mailbox}\"")).await?;
        let validity = lines
            .iter()
            .find_map(|line| line.split_once("[UIDVALIDITY ")?.1.split_once(']')?.0.parse().ok());
        validity.ok_or_else(|| "SELECT without UIDVALIDITY".into())
    }

    /// All messages of the open mailbox, by UID.
    pub async fn entries(&mut self) -> Result<Vec<Entry>> {
        let fetch = "UID FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])";
        let lines = self.command(fetch).await?;
        let mut entries: Vec<Entry> = lines.iter().filter_map(|line| parse_entry(line)).collect();
        entries.sort();
        Ok(entries)
    }

    /// The text of a message of the open mailbox, which is not marked as seen by it.
    pub async fn text(&mut self, uid: u32) -> Result<String> {
        let lines = self.command(&format!("UID FETCH {uid} (BODY.PEEK[])")).await?;
        let line = lines.iter().find(|line| line.contains("FETCH")).ok_or("no such message")?;
        Ok(line.split_once("}\n").map(|(_head, text)| text).unwrap_or_default().to_owned())
    }

    /// Adds flags to a message of the open mailbox.
    pub async fn mark(&mut self, uid: u32, flags: &str) -> Result {
        self.command(&format!("UID STORE {uid} +FLAGS.SILENT ({flags})")).await.map(|_lines| ())
    }

    /// Says good-bye.
    pub async fn logout(&mut self) -> Result {
        self.command("LOGOUT").await.map(|_lines| ())
    }

    /// One command that the server must agree to; returns the untagged answers, each with its
    /// literals in it (`{size}`, a line feed, the literal).
    pub async fn command(&mut self, line: &str) -> Result<Vec<String>> {
        self.commands += 1;
        let tag = format!("a{} ", self.commands);
        self.conversation.say(&format!("{tag}{line}")).await?;
        let mut answers = Vec::new();
        loop {
            let answer = self.answer().await?;
            if let Some(status) = answer.strip_prefix(&tag) {
                ensure!(status.starts_with("OK"), "IMAP: {status}");
                return Ok(answers);
            }
            answers.push(answer);
        }
    }

    async fn answer(&mut self) -> Result<String> {
        let mut answer = self.conversation.hear().await?;
        while let Some(size) = literal_size(&answer) {
            answer.push('\n');
            answer.push_str(&self.conversation.hear_bytes(size).await?);
            answer.push_str(&self.conversation.hear().await?);
        }
        Ok(answer)
    }
}

fn literal_size(line: &str) -> Option<usize> {
    line.strip_suffix('}')?.rsplit_once('{')?.1.parse().ok()
}

fn parse_entry(line: &str) -> Option<Entry> {
    let uid = line.split_once("UID ")?.1.split([' ', ')']).next()?.parse().ok()?;
    let flags = line.split_once("FLAGS (")?.1.split_once(')')?.0;
    let flags = flags.split(' ').filter(|flag| !flag.is_empty() && *flag != "\\Recent");
    let message_id = header(line, "Message-ID").unwrap_or_default().to_owned();
    Some(Entry { uid, message_id, flags: flags.map(str::to_owned).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_with_its_literal() {
        let line = "* 1 FETCH (UID 7 FLAGS (\\Seen \\Recent) BODY[HEADER.FIELDS (MESSAGE-ID)] \
                    {27}\nMessage-ID: <1@x.test>\r\n\r\n)";
        let entry = parse_entry(line).unwrap();
        assert_eq!((entry.uid, entry.message_id.as_str()), (7, "1@x.test"));
        assert_eq!(entry.flags, BTreeSet::from(["\\Seen".to_owned()]));
        assert_eq!(literal_size("* 1 FETCH (BODY[] {27}"), Some(27));
    }
}

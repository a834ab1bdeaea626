//! A client of POP3.

use std::net::SocketAddr;

use super::{Result, Trust, conversation::Conversation};
use crate::ensure;

/// A connection to a POP3 server over TLS.
#[derive(Debug)]
pub struct Pop3 {
    conversation: Conversation,
}

impl Pop3 {
    /// Connects over TLS and reads the greeting.
    pub async fn connect(server: SocketAddr, trust: &Trust) -> Result<Self> {
        let mut pop = Self { conversation: Conversation::connect(server, Some(trust)).await? };
        pop.answer().await?;
        Ok(pop)
    }

    /// Connects and signs in.
    pub async fn open(
        server: SocketAddr,
        trust: &Trust,
        user: &str,
        password: &str,
    ) -> Result<Self> {
        let mut pop = Self::connect(server, trust).await?;
        pop.command(&format!("USER {user}")).await?;
        pop.command(&format!("PASS {password}")).await?;
        Ok(pop)
    }

    /// Numbers and unique ids of all messages.
    pub async fn unique_ids(&mut self) -> Result<Vec<(u32, String)>> {
        self.command("UIDL").await?;
        let lines = self.lines().await?;
        let parse = |line: &String| {
            let (number, id) = line.split_once(' ')?;
            Some((number.parse().ok()?, id.to_owned()))
        };
        Ok(lines.iter().filter_map(parse).collect())
    }

    /// The text of a message.
    pub async fn retrieve(&mut self, number: u32) -> Result<String> {
        self.command(&format!("RETR {number}")).await?;
        Ok(self.lines().await?.join("\r\n"))
    }

    /// Says good-bye.
    pub async fn quit(&mut self) -> Result {
        self.command("QUIT").await.map(|_answer| ())
    }

    /// One command that the server must agree to.
    pub async fn command(&mut self, line: &str) -> Result<String> {
        self.conversation.say(line).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<String> {
        let line = self.conversation.hear().await?;
        ensure!(line.starts_with("+OK"), "POP3: {line}");
        Ok(line)
    }

    async fn lines(&mut self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let line = self.conversation.hear().await?;
            if line == "." {
                return Ok(lines);
            }
            lines.push(line.strip_prefix('.').map(str::to_owned).unwrap_or(line));
        }
    }
}

//! A client of SMTP and submission.

use std::net::SocketAddr;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Result, Trust, conversation::Conversation};
use crate::ensure;

/// A reply of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Three digits.
    pub code: u16,
    /// All lines, without the codes.
    pub text: String,
}

impl Reply {
    /// Whether the server agreed.
    #[must_use]
    pub const fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// Whether the server refused for the moment only.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        self.code >= 400 && self.code < 500
    }
}

/// A connection to an SMTP server, greeted.
#[derive(Debug)]
pub struct Smtp {
    conversation: Conversation,
}

impl Smtp {
    /// Connects and says EHLO.
    pub async fn connect(server: SocketAddr) -> Result<Self> {
        let mut smtp = Self { conversation: Conversation::connect(server, None).await? };
        let greeting = smtp.reply().await?;
        ensure!(greeting.code == 220, "greeting: {greeting:?}");
        smtp.hello().await?;
        Ok(smtp)
    }

    /// Goes on over TLS.
    pub async fn start_tls(mut self, trust: &Trust) -> Result<Self> {
        let reply = self.command("STARTTLS").await?;
        ensure!(reply.code == 220, "STARTTLS: {reply:?}");
        let mut smtp = Self { conversation: self.conversation.start_tls(trust).await? };
        smtp.hello().await?;
        Ok(smtp)
    }

    /// Signs in by AUTH PLAIN and returns what the server says to it.
    pub async fn login(&mut self, user: &str, password: &str) -> Result<Reply> {
        let secret = STANDARD.encode(format!("\0{user}\0{password}"));
        self.command(&format!("AUTH PLAIN {secret}")).await
    }

    /// Sends one message and returns the last reply: the first refusal, or that to the message.
    pub async fn send(&mut self, from: &str, to: &[&str], text: &str) -> Result<Reply> {
        let mut reply = self.command(&format!("MAIL FROM:<{from}>")).await?;
        for recipient in to {
            if reply.is_positive() {
                reply = self.command(&format!("RCPT TO:<{recipient}>")).await?;
            }
        }
        if reply.is_positive() {
            reply = self.command("DATA").await?;
        }
        if !reply.is_positive() {
            self.command("RSET").await?;
            return Ok(reply);
        }
        let stuffed = text.replace("\r\n.", "\r\n..");
        self.conversation.send(stuffed.as_bytes()).await?;
        self.command(".").await
    }

    /// One command and its reply.
    pub async fn command(&mut self, line: &str) -> Result<Reply> {
        self.conversation.say(line).await?;
        self.reply().await
    }

    async fn hello(&mut self) -> Result {
        let reply = self.command("EHLO client.umail.test").await?;
        ensure!(reply.code == 250, "EHLO: {reply:?}");
        Ok(())
    }

    async fn reply(&mut self) -> Result<Reply> {
        let mut text = String::new();
        loop {
            let line = self.conversation.hear().await?;
            let (code, rest) = line.split_at_checked(3).ok_or("a reply without a code")?;
            text.push_str(rest.get(1..).unwrap_or_default());
            if !rest.starts_with('-') {
                let code = code.parse().map_err(|_bad| format!("a strange reply: {line}"))?;
                return Ok(Reply { code, text });
            }
            text.push('\n');
        }
    }
}

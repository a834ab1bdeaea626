//! Sessions that stay open.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

const LIMIT: Duration = Duration::from_secs(20);

/// An open session of IMAP or POP3. It comes from the address of the server, so that Dovecot wants
/// no TLS.
pub(crate) struct Session {
    stream: BufReader<TcpStream>,
    /// What a good answer begins with.
    good: &'static str,
}

impl Session {
    /// A session of IMAP.
    pub(crate) async fn open(server: SocketAddr, (name, password): (&str, &str)) -> Self {
        let mut session = Self::connect(server, "a OK").await;
        session.succeeds(&format!("a LOGIN {name} \"{password}\"")).await;
        session
    }

    /// A session of POP3.
    pub(crate) async fn pop3(server: SocketAddr, (name, password): (&str, &str)) -> Self {
        let mut session = Self::connect(server, "+OK").await;
        session.succeeds(&format!("USER {name}")).await;
        session.succeeds(&format!("PASS {password}")).await;
        session
    }

    async fn connect(server: SocketAddr, good: &'static str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((server.ip(), 0).into()).unwrap();
        let mut stream = BufReader::new(socket.connect(server).await.unwrap());
        // It greets.
        timeout(LIMIT, stream.read_line(&mut String::new())).await.unwrap().unwrap();
        Self { stream, good }
    }

    async fn succeeds(&mut self, line: &str) {
        let answer = self.ask(line).await.unwrap();
        assert!(answer.starts_with(self.good), "{answer}");
    }

    /// The answer to a command; none when the server has hung up.
    async fn ask(&mut self, line: &str) -> Option<String> {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).await.ok()?;
        let mut answer = String::new();
        // What begins with a star is told by the way.
        while answer.is_empty() || answer.starts_with('*') {
            answer.clear();
            let read = self.stream.read_line(&mut answer);
            if timeout(LIMIT, read).await.unwrap().is_ok_and(|read| read > 0) {
                continue;
            }
            return None;
        }
        Some(answer)
    }

    /// Waits until the server hangs up.
    pub(crate) async fn ends(mut self) {
        let mut rest = Vec::new();
        // A connection that is reset has ended as well.
        timeout(LIMIT, self.stream.read_to_end(&mut rest)).await.unwrap().ok();
    }

    pub(crate) async fn lives(&mut self) -> bool {
        let command = if self.good == "+OK" { "NOOP" } else { "a NOOP" };
        self.ask(command).await.is_some_and(|answer| answer.starts_with(self.good))
    }
}

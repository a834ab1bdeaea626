//! A small LMTP client: hands in one message and says what became of it.

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// A session that is open.
pub(crate) struct Session(BufReader<TcpStream>);

impl Session {
    /// Connects and greets; none when nobody is there.
    pub(crate) async fn open(port: u16) -> Option<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let mut session = Self(BufReader::new(stream));
        session.answer().await?;
        session.ask("LHLO client.example").await?;
        Some(session)
    }

    /// Sends a command; the last line of the answer, none when the connection is gone.
    pub(crate) async fn ask(&mut self, command: &str) -> Option<String> {
        self.0.get_mut().write_all(format!("{command}\r\n").as_bytes()).await.ok()?;
        self.answer().await
    }

    async fn answer(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Some(line);
            }
        }
    }

    /// The commands up to the text of a message; the answer that decides.
    pub(crate) async fn begin(&mut self, to: &str) -> Option<String> {
        self.ask("MAIL FROM:<sender@elsewhere.example>").await?;
        let answer = self.ask(&format!("RCPT TO:<{to}>")).await?;
        if answer.starts_with('2') { self.ask("DATA").await } else { Some(answer) }
    }
}

/// The text of the message with this number.
pub(crate) fn message(number: usize) -> String {
    format!(
        "Message-ID: <{number}@client.example>\r\nSubject: number {number}\r\n\r\n{}\r\n",
        "A line of text that fills the message.\r\n".repeat(number % 50)
    )
}

/// Hands in one message: the last answer. None means that nobody knows what became of it.
pub(crate) async fn deliver(port: u16, to: &str, number: usize) -> Option<String> {
    let Some(mut session) = Session::open(port).await else {
        return Some("421 nobody is there".to_owned());
    };
    let answer = session.begin(to).await.unwrap_or_else(|| "421 gone".to_owned());
    if !answer.starts_with('3') {
        return Some(answer);
    }
    session.ask(&format!("{}.", message(number))).await
}

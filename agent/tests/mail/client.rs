//! Independent clients: swaks for SMTP, curl for POP3 and IMAP.

use std::{net::SocketAddr, process::Command};

/// What a client's run ended with.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Exit status.
    pub(crate) code: i32,
    /// Everything it printed.
    pub(crate) text: String,
}

impl Answer {
    /// Fails the test unless the client was content.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}", self.text);
        self.text
    }

    /// Fails the test unless the server answered this and the client was not content.
    pub(crate) fn refused(self, with: &str) {
        assert_ne!(self.code, 0, "{}", self.text);
        assert!(self.text.contains(with), "{with:?} is not in: {}", self.text);
    }
}

fn run(program: &str, arguments: &[&str]) -> Answer {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    Answer {
        code: output.status.code().unwrap_or(-1),
        text: String::from_utf8_lossy(&text).into_owned(),
    }
}

/// Sends a message by SMTP, without signing in.
pub(crate) fn send(port: u16, from: &str, to: &str, subject: &str) -> Answer {
    swaks(port, from, to, &["--header", &format!("Subject: {subject}")])
}

/// Reads by POP3 or IMAP with STARTTLS at this address.
pub(crate) fn read(scheme: &str, at: SocketAddr, login: (&str, &str), path: &str) -> Answer {
    curl(&format!("{scheme}://{at}/{path}"), login, &["--ssl-reqd"])
}

/// Sends a message by submission with STARTTLS.
pub(crate) fn submit(port: u16, login: (&str, &str), from: &str, to: &str) -> Answer {
    let message = tempfile::NamedTempFile::new().unwrap();
    let text = format!("From: <{from}>\r\nTo: <{to}>\r\nSubject: submitted\r\n\r\nHello.\r\n");
    std::fs::write(message.path(), text).unwrap();
    let file = message.path().to_str().unwrap();
    let url = format!("smtp://127.0.0.1:{port}/client.example");
    let more = ["--ssl-reqd", "--mail-from", from, "--mail-rcpt", to, "-T", file];
    curl(&url, login, &more)
}

/// Runs swaks with more arguments.
pub(crate) fn swaks(port: u16, from: &str, to: &str, more: &[&str]) -> Answer {
    swaks_at(SocketAddr::from(([127, 0, 0, 1], port)), from, to, more)
}

/// Runs swaks against this address.
pub(crate) fn swaks_at(server: SocketAddr, from: &str, to: &str, more: &[&str]) -> Answer {
    let server = server.to_string();
    let mut arguments = vec![
        "--server",
        &server,
        "--from",
        from,
        "--to",
        to,
        "--helo",
        "client.example",
        "--timeout",
        "20",
    ];
    arguments.extend(more);
    run("swaks", &arguments)
}

/// Reads a message by POP3 with STARTTLS.
pub(crate) fn pop3(port: u16, login: (&str, &str), path: &str) -> Answer {
    curl(&format!("pop3://localhost:{port}/{path}"), login, &["--ssl-reqd"])
}

/// Reads by IMAP with STARTTLS.
pub(crate) fn imap(port: u16, login: (&str, &str), path: &str) -> Answer {
    curl(&format!("imap://localhost:{port}/{path}"), login, &["--ssl-reqd"])
}

/// Runs curl with more arguments.
pub(crate) fn curl(url: &str, (user, password): (&str, &str), more: &[&str]) -> Answer {
    let login = format!("{user}:{password}");
    let mut arguments = vec!["-sS", "-v", "-k", "-4", "-m", "20", "-u", &login, url];
    arguments.extend(more);
    run("curl", &arguments)
}

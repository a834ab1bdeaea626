//! `umail-agent send-reply`: takes an automatic reply from Dovecot, as sendmail would, and hands it in
//! at an smtp node. Needs neither the running agent nor its configuration.

use std::{
    io::{self, Read as _},
    net::{IpAddr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;
use lettre::{
    Address,
    address::Envelope,
    transport::smtp::{
        Error,
        client::{Certificate, CertificateStore, SmtpConnection, TlsParameters},
        extension::ClientId,
    },
};

use super::complain;
use crate::address::without_tag;

/// A reply is shorter.
const BYTES_MAX: u64 = 64 << 10;
/// How long one node may take for each step.
const PATIENCE: Duration = Duration::from_secs(3);
/// No further node is tried afterwards: Dovecot holds the message back meanwhile.
const TIME_MAX: Duration = Duration::from_secs(6);
/// RFC 5322 allows 998 bytes.
const LINE_BYTES_MAX: usize = 900;
/// `sysexits.h`: another time it may be taken.
const EX_TEMPFAIL: u8 = 75;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The smtp nodes: the first one that answers takes the reply.
    #[arg(required = true, value_delimiter = ',')]
    servers: Vec<SocketAddr>,
    /// The name of this node, said in greeting.
    #[arg(long)]
    name: String,
    /// The address that smtp nodes know this node by, if it is one of this machine.
    #[arg(long)]
    address: IpAddr,
    /// The roots that certificates of the nodes are verified with. Without them there is no TLS.
    #[arg(long)]
    roots: Option<PathBuf>,
    /// Dovecot says it as to sendmail: a dot alone ends nothing.
    #[arg(short = 'i')]
    ignore_dots: bool,
    /// The user who is away. In the envelope the reply is from nobody.
    #[arg(short = 'f')]
    user: Address,
    /// Who gets the reply.
    #[arg(last = true, required = true)]
    recipient: Address,
}

/// Reads the reply from standard input and sends it.
pub(super) fn send(arguments: &Arguments) -> ExitCode {
    let read = read().and_then(|text| {
        let envelope = Envelope::new(None, vec![arguments.recipient.clone()]);
        envelope.map(|envelope| (envelope, text)).map_err(io::Error::other)
    });
    let (envelope, text) = match read {
        Ok(reply) => reply,
        Err(error) => return complain(&error),
    };
    // All nodes get their share.
    let mut servers = arguments.servers.clone();
    let shift = usize::try_from(std::process::id()).unwrap_or(0) % servers.len().max(1);
    servers.rotate_left(shift);
    let begin = Instant::now();
    for server in servers.into_iter().take_while(|_| begin.elapsed() < TIME_MAX) {
        // One that does not know this node is no reason to give the reply up; another does.
        let mut connection = match connect(server, arguments) {
            Ok(connection) => connection,
            Err(error) => {
                complain(error.as_ref());
                continue;
            }
        };
        match connection.send(&envelope, &text) {
            Ok(_taken) => return ExitCode::SUCCESS,
            Err(error) if error.is_permanent() => return complain(&error),
            Err(error) => complain(&error),
        };
    }
    ExitCode::from(EX_TEMPFAIL)
}

/// The text, its lines as SMTP ends them, and no longer than it allows.
fn read() -> io::Result<Vec<u8>> {
    let mut text = String::new();
    io::stdin().take(BYTES_MAX).read_to_string(&mut text)?;
    let mut lines = Vec::new();
    for mut line in text.lines() {
        while line.len() > LINE_BYTES_MAX {
            let (head, _) = line.split_at(line.floor_char_boundary(LINE_BYTES_MAX));
            let (head, rest) = line.split_at(head.rfind(' ').map_or(head.len(), |at| at + 1));
            lines.push(head.trim_end());
            line = rest;
        }
        lines.push(line);
    }
    lines.push("");
    Ok(lines.join("\r\n").into_bytes())
}

/// Opens a dialogue on behalf of the user: what the user may send holds there.
fn connect(
    server: SocketAddr,
    arguments: &Arguments,
) -> Result<SmtpConnection, Box<dyn std::error::Error + Send + Sync>> {
    let hello = ClientId::Domain(arguments.name.clone());
    let is_local = UdpSocket::bind((arguments.address, 0)).is_ok();
    let from = is_local.then_some(arguments.address);
    let mut connection = SmtpConnection::connect(server, Some(PATIENCE), &hello, None, from)?;
    if let Some(roots) = &arguments.roots {
        connection.starttls(&tls(server, roots)?, &hello)?;
    }
    // Postfix begins anew then: https://www.postfix.org/XCLIENT_README.html
    // Dovecot names the address that the message came to.
    let user = xtext(&without_tag(arguments.user.as_ref()));
    for command in [format!("XCLIENT LOGIN={user}\r\n"), format!("EHLO {hello}\r\n")] {
        let answer = connection.command(command)?;
        if !answer.is_positive() {
            return Err(answer.message().collect::<Vec<_>>().join(" ").into());
        }
    }
    Ok(connection)
}

fn tls(
    server: SocketAddr,
    roots: &Path,
) -> Result<TlsParameters, Box<dyn std::error::Error + Send + Sync>> {
    let roots = Certificate::from_pem(&std::fs::read(roots)?)?;
    let parameters = TlsParameters::builder(server.ip().to_string())
        .certificate_store(CertificateStore::None)
        .add_root_certificate(roots)
        .build();
    parameters.map_err(|error: Error| error.into())
}

/// RFC 1891, section 5.
fn xtext(text: &str) -> String {
    text.replace('+', "+2B").replace('=', "+3D")
}

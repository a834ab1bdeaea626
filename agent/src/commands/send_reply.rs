//! `umail-agent send-reply`: takes an automatic reply from Dovecot, as sendmail would, and hands it in
//! at an smtp node. Needs neither the running agent nor its configuration.

use std::{
    io::{self, Read as _},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use lettre::{
    Address, SmtpTransport, Transport as _,
    address::Envelope,
    transport::smtp::{
        Error,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
        extension::ClientId,
    },
};

use super::complain;

/// A reply is shorter.
const BYTES_MAX: u64 = 64 << 10;
/// How long one node may take for each step; Dovecot waits for 30 seconds.
const PATIENCE: Duration = Duration::from_secs(5);
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
    /// The roots that certificates of the nodes are verified with. Without them there is no TLS.
    #[arg(long)]
    roots: Option<PathBuf>,
    /// Dovecot says it as to sendmail: a dot alone ends nothing.
    #[arg(short = 'i')]
    ignore_dots: bool,
    /// Dovecot says it as to sendmail: `<>`. A reply has no other sender.
    #[arg(short = 'f')]
    from: Option<String>,
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
    for server in servers {
        match hand_in(server, arguments, &envelope, &text) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(Failure::Refused(error)) if error.is_permanent() => return complain(&error),
            Err(Failure::Refused(error)) => complain(&error),
            Err(Failure::Roots(error)) => complain(&error),
        };
    }
    ExitCode::from(EX_TEMPFAIL)
}

/// Why a node has not taken a reply.
enum Failure {
    /// The dialogue failed.
    Refused(Error),
    /// The roots could not be read.
    Roots(io::Error),
}

/// The text, its lines as SMTP ends them.
fn read() -> io::Result<Vec<u8>> {
    let mut text = String::new();
    io::stdin().take(BYTES_MAX).read_to_string(&mut text)?;
    Ok(text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes())
}

fn hand_in(
    server: SocketAddr,
    arguments: &Arguments,
    envelope: &Envelope,
    text: &[u8],
) -> Result<(), Failure> {
    let host = server.ip().to_string();
    let tls = match &arguments.roots {
        Some(path) => {
            let pem = std::fs::read(path).map_err(Failure::Roots)?;
            let roots = Certificate::from_pem(&pem).map_err(Failure::Refused)?;
            let parameters = TlsParameters::builder(host.clone())
                .certificate_store(CertificateStore::None)
                .add_root_certificate(roots)
                .build()
                .map_err(Failure::Refused)?;
            Tls::Required(parameters)
        }
        None => Tls::None,
    };
    SmtpTransport::builder_dangerous(host)
        .port(server.port())
        .tls(tls)
        .hello_name(ClientId::Domain(arguments.name.clone()))
        .timeout(Some(PATIENCE))
        .build()
        .send_raw(envelope, text)
        .map(|_accepted| ())
        .map_err(Failure::Refused)
}

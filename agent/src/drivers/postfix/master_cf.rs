//! `master.cf`: the listeners that shall be open, and the services that Postfix always needs.

use std::net::{IpAddr, SocketAddr};

use umail_proto::agent::{ListenerKind, ServiceKind};

use super::{Source, main_cf};
use crate::drivers::listeners::wants;

/// Without chroot: the daemons read the replica at its own path. There is no local delivery.
const SERVICES: &str = "\
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
proxywrite unix -       -       n       -       1       proxymap
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
lmtp      unix  -       -       n       -       -       lmtp
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
";

/// What is different for mail from users.
const SUBMISSION: &str = "\
\x20 -o syslog_name=postfix/submission
\x20 -o smtpd_tls_security_level=encrypt
\x20 -o smtpd_sasl_auth_enable=yes
\x20 -o smtpd_sender_restrictions=$submission_sender_restrictions
\x20 -o smtpd_relay_restrictions=$submission_relay_restrictions
\x20 -o smtpd_recipient_restrictions=$submission_recipient_restrictions
\x20 -o smtpd_data_restrictions=$submission_data_restrictions
\x20 -o smtpd_end_of_data_restrictions=$submission_end_of_data_restrictions
";

/// What is different for automatic replies from storage nodes. One that sends more than this a minute
/// has something else in mind.
const REPLY: &str = "\
\x20 -o syslog_name=postfix/reply
\x20 -o mynetworks=$reply_networks
\x20 -o smtpd_authorized_xclient_hosts=$reply_networks
\x20 -o smtpd_sasl_auth_enable=yes
\x20 -o smtpd_client_restrictions=$reply_client_restrictions
\x20 -o smtpd_sender_restrictions=$reply_sender_restrictions
\x20 -o smtpd_relay_restrictions=$reply_relay_restrictions
\x20 -o smtpd_recipient_restrictions=$submission_recipient_restrictions
\x20 -o smtpd_data_restrictions=$submission_data_restrictions
\x20 -o smtpd_end_of_data_restrictions=$submission_end_of_data_restrictions
\x20 -o smtpd_recipient_limit=1
\x20 -o message_size_limit=65536
\x20 -o smtpd_client_message_rate_limit=600
\x20 -o smtpd_client_event_limit_exceptions=
";

pub(super) fn render(source: &Source<'_>) -> String {
    let ports = source.config.ports;
    let is_open = |listener| wants(source.desired, ServiceKind::Postfix, listener);
    let mut text = String::from("# Rendered by umail-agent; changes are overwritten.\n");
    let listen = &source.config.listen;
    if is_open(ListenerKind::Smtp) {
        text += &listener(listen, ports.smtp, "");
    }
    if is_open(ListenerKind::Submission) {
        text += &listener(listen, ports.submission, SUBMISSION);
    }
    if !main_cf::reply_clients(source).is_empty() {
        let tls = if source.has_tls { "  -o smtpd_tls_security_level=encrypt\n" } else { "" };
        text += &listener(listen, ports.reply, &format!("{REPLY}{tls}"));
    }
    text + SERVICES
}

/// One line for each address, or one for all of them.
fn listener(listen: &[IpAddr], port: u16, options: &str) -> String {
    let service = |place: String| {
        format!("{place} inet  n       -       n       -       -       smtpd\n{options}")
    };
    if listen.is_empty() {
        return service(port.to_string());
    }
    listen.iter().map(|address| service(SocketAddr::new(*address, port).to_string())).collect()
}

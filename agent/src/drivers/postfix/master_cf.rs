//! `master.cf`: the listeners that shall be open, and the services that Postfix always needs.

use std::fmt::Write as _;

use umail_proto::agent::{ListenerKind, ServiceKind};

use super::Source;
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

pub(super) fn render(source: &Source<'_>) -> String {
    let ports = source.config.ports;
    let is_open = |listener| wants(source.desired, ServiceKind::Postfix, listener);
    let mut text = String::from("# Rendered by umail-agent; changes are overwritten.\n");
    if is_open(ListenerKind::Smtp) {
        let _ =
            writeln!(text, "{} inet  n       -       n       -       -       smtpd", ports.smtp);
    }
    if is_open(ListenerKind::Submission) {
        let _ = write!(
            text,
            "{} inet  n       -       n       -       -       smtpd\n\
             \x20 -o syslog_name=postfix/submission\n\
             \x20 -o smtpd_tls_security_level=encrypt\n\
             \x20 -o smtpd_sasl_auth_enable=yes\n\
             \x20 -o smtpd_sender_restrictions=$submission_sender_restrictions\n\
             \x20 -o smtpd_relay_restrictions=$submission_relay_restrictions\n\
             \x20 -o smtpd_recipient_restrictions=$submission_recipient_restrictions\n",
            ports.submission
        );
    }
    text + SERVICES
}

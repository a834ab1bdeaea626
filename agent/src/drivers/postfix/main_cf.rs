//! `main.cf`.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use umail_proto::agent::{ListenerKind, Role, ServiceKind};

use super::{MAIL_OWNER, Source};
use crate::drivers::{
    listeners::{has_role, wants},
    tls,
};

/// What is the same on every node. Maps lie beside this file.
const CONSTANT: &str = "\
compatibility_level = 3.6
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
setgid_group = postdrop

# Addresses. Nothing is delivered locally; nobody is trusted for where he connects from.
myorigin = $myhostname
mydestination =
local_recipient_maps =
local_transport = error:5.1.1 no local delivery
mynetworks = 127.0.0.1/32
inet_interfaces = all
inet_protocols = all
recipient_delimiter = +
alias_maps =
alias_database =
biff = no
mailbox_size_limit = 0
notify_classes =

# The directory.
virtual_alias_domains = sqlite:${config_directory}/own_name.cf
virtual_alias_maps = sqlite:${config_directory}/aliases.cf, sqlite:${config_directory}/catch_all.cf
# Aliases that lead to each other without end are given up sooner: each step is a lookup.
virtual_alias_recursion_limit = 50
# A group and what its members forward; the default is less than the members that one may have.
virtual_alias_expansion_limit = 10000
virtual_mailbox_domains = sqlite:${config_directory}/domains.cf
virtual_mailbox_maps = sqlite:${config_directory}/mailboxes.cf
transport_maps = sqlite:${config_directory}/transport.cf
# A safety net that nobody answers: mail waits. error: would bounce it.
virtual_transport = lmtp:inet:[127.0.0.1]:9
lmtp_destination_recipient_limit = 1
lmtp_connect_timeout = 5s
smtp_connect_timeout = 15s
minimal_backoff_time = 10s
queue_run_delay = 10s
maximal_backoff_time = 1800s

# The dialogue. At once, not delayed: a smtpd process remembers how it resolved an address, so
# nobody gets as far as naming one while there is no directory.
smtpd_delay_reject = no
smtpd_client_restrictions = check_client_access sqlite:${config_directory}/unready.cf
smtpd_helo_required = yes
disable_vrfy_command = yes
allow_percent_hack = no
swap_bangpath = no
smtpd_peername_lookup = no
smtpd_forbid_bare_newline = normalize
smtpd_forbid_unauth_pipelining = yes
strict_rfc821_envelopes = yes
smtpd_reject_unlisted_recipient = no
smtpd_reject_unlisted_sender = no
smtpd_relay_restrictions =
    check_recipient_access sqlite:${config_directory}/hosted.cf, reject_unauth_destination
smtpd_recipient_restrictions =
    check_recipient_access sqlite:${config_directory}/refusals.cf,
    check_recipient_access sqlite:${config_directory}/domain_refusals.cf,
    check_recipient_access sqlite:${config_directory}/inside_recipients.cf,
    check_recipient_access sqlite:${config_directory}/closed_groups.cf,
    reject_unlisted_recipient
smtpd_sasl_auth_enable = no
smtpd_sasl_type = dovecot
smtpd_sasl_security_options = noanonymous
smtpd_sasl_tls_security_options = noanonymous
smtpd_tls_auth_only = yes
smtpd_sender_login_maps = sqlite:${config_directory}/senders.cf

# TLS.
smtpd_tls_mandatory_protocols = >=TLSv1.2
smtpd_tls_protocols = >=TLSv1.2
smtpd_tls_loglevel = 0
smtpd_tls_received_header = yes
smtp_tls_security_level = may
";

/// Named in `master.cf`; Postfix complains about them when nothing there does.
const SUBMISSION: &str = "
submission_sender_restrictions =
    check_sasl_access sqlite:${config_directory}/resting_senders.cf,
    permit_sasl_authenticated, reject
submission_relay_restrictions = reject_sender_login_mismatch,
    check_sasl_access sqlite:${config_directory}/inside_senders.cf,
    permit_sasl_authenticated, reject
";

/// What users may send, by submission and by automatic replies.
const SENDING: &str = "
smtpd_restriction_classes = inside_only, inside_senders, group_senders
# Only the agent knows who asks for whom. Without it the whole fleet is inside, and nobody else.
inside_only = check_policy_service $sending_policy,
    check_recipient_access sqlite:${config_directory}/outward.cf,
    check_recipient_access sqlite:${config_directory}/hosted.cf, reject
inside_senders = check_policy_service $sending_policy
# Who may write to a group that is closed to others: nobody gets in because the agent is away.
group_senders = check_policy_service { $sending_policy, policy_context=group,
    { default_action = 450 4.3.0 Who may write to the group cannot be told now } }
submission_recipient_restrictions =
    check_recipient_access sqlite:${config_directory}/refusals.cf,
    check_recipient_access sqlite:${config_directory}/domain_refusals.cf,
    check_recipient_access sqlite:${config_directory}/narrow_recipients.cf,
    check_recipient_access sqlite:${config_directory}/group_senders.cf,
    reject_unlisted_recipient
# What a user may send. An agent that is away, or that hangs, holds no message up.
submission_data_restrictions = check_policy_service $sending_policy
submission_end_of_data_restrictions = check_policy_service $sending_policy
smtpd_policy_service_default_action = DUNNO
smtpd_policy_service_timeout = 1s
smtpd_policy_service_try_limit = 1
";

/// Named in `master.cf`. Replies come from nobody, so that nobody replies to them. The storage node
/// says whose they are (XCLIENT): what that user may send holds, as by submission.
const REPLY: &str = "
reply_client_restrictions = check_client_access sqlite:${config_directory}/unready.cf,
    permit_mynetworks, reject
reply_sender_restrictions =
    check_sasl_access sqlite:${config_directory}/resting_senders.cf,
    check_sender_access inline:{ { <> = permit_sasl_authenticated } }, reject
reply_relay_restrictions =
    check_sasl_access sqlite:${config_directory}/inside_senders.cf,
    permit_sasl_authenticated, reject
";

/// The nodes whose automatic replies are sent here: all that hold mailboxes.
pub(super) fn reply_clients(source: &Source<'_>) -> Vec<IpAddr> {
    let mut clients = source.settings.peers_with(&[Role::Storage]);
    if has_role(source.desired, Role::Storage) {
        clients.extend([source.config.address, Ipv4Addr::LOCALHOST.into()]);
        clients.push(Ipv6Addr::LOCALHOST.into());
    }
    clients
}

pub(super) fn render(source: &Source<'_>) -> String {
    let layout = source.layout;
    let log = layout.log("postfix");
    let log_folder = log.parent().unwrap_or_else(|| layout.root());
    let mut text = format!(
        "# Rendered by umail-agent; changes are overwritten.\n\
         {CONSTANT}\n\
         mail_owner = {MAIL_OWNER}\n\
         myhostname = {hostname}\n\
         message_size_limit = {size}\n\
         queue_directory = {queue}\n\
         data_directory = {data}\n\
         maillog_file = {log}\n\
         maillog_file_prefixes = {log_folder}\n\
         smtpd_sasl_path = {sasl}\n",
        hostname = source.settings.hostname,
        size = source.settings.message_size_limit_bytes,
        queue = layout.queue().display(),
        data = layout.postfix_data().display(),
        log = log.display(),
        log_folder = log_folder.display(),
        sasl = layout.run("dovecot").join("postfix-auth").display(),
    );
    let clients = reply_clients(source);
    let is_submission = wants(source.desired, ServiceKind::Postfix, ListenerKind::Submission);
    if is_submission {
        text += SUBMISSION;
    }
    if is_submission || !clients.is_empty() {
        text += SENDING;
        let _ = writeln!(text, "sending_policy = unix:{}", layout.sending_socket().display());
    }
    if !clients.is_empty() {
        let network = |address: &IpAddr| match address {
            IpAddr::V4(address) => format!("{address}/32"),
            IpAddr::V6(address) => format!("[{address}]/128"),
        };
        let networks = clients.iter().map(network).collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "{REPLY}reply_networks = {networks}");
    }
    if source.has_tls {
        let _ = write!(
            text,
            "smtpd_tls_security_level = may\n\
             smtpd_tls_chain_files = ${{config_directory}}/{pair}\n\
             lmtp_tls_security_level = secure\n\
             lmtp_tls_CAfile = ${{config_directory}}/{roots}\n\
             lmtp_tls_policy_maps = sqlite:${{config_directory}}/storage_tls.cf\n",
            pair = tls::PAIR,
            roots = tls::ROOTS,
        );
    }
    text
}

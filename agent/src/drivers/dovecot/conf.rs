//! `dovecot.conf`, in the syntax of Dovecot 2.3.

use std::{fmt::Write as _, net::IpAddr};

use umail_proto::{
    APP_PASSWORDS_TRIED,
    agent::{ListenerKind, Role},
};

use super::{MAIL_USER, Source, queries, reply};
use crate::drivers::tls;

/// What is the same on every node.
const CONSTANT: &str = r#"
# Local parts as RFC 5321 knows them without quotes; SQLite's driver escapes them.
auth_username_chars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.@!#$%&'*+-/=?^_`{|}~"
auth_username_format = %Lu
auth_mechanisms = plain login
auth_cache_size = 0
# Which app password it was. Its id comes last: nothing behind it is a client's choice.
login_log_format_elements = user=<%u> method=%m rip=%r lip=%l mpid=%e %c session=<%{session}> app_password=<%{passdb:umail_app_password}>
# Postfix does not log what Dovecot tells it beside the name.
event_exporter app_passwords {
  format = json
  format_args = time-unix
  transport = log
}
metric app_passwords_for_submission {
  exporter = app_passwords
  filter = event=auth_passdb_request_finished AND category=service:auth AND service=smtp AND result=ok AND passdb_name=app-password-*
  fields = user remote_ip passdb_name
}
disable_plaintext_auth = yes
mail_max_userip_connections = 100
recipient_delimiter = +

# Credentials lie in a file that this user may read.
service auth-worker {
  user = $default_internal_user
}
# Guessing is throttled by rows of the replica; a penalty here outlasts Postfix's patience.
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service imap-login {
  service_count = 0
  process_min_avail = 2
  client_limit = 4000
}
service pop3-login {
  service_count = 0
  process_min_avail = 2
  client_limit = 4000
}
service imap {
  process_limit = 4096
}
service pop3 {
  process_limit = 4096
}

mail_location = sdbox:~/mail
# Its log and that of INBOX are locked in either order: a first delivery beside a first login then
# ends in a deadlock, which the delivery's process does not survive.
mailbox_list_index = no
mail_plugins = quota notify mail_log
namespace inbox {
  inbox = yes
  separator = /
  mailbox Drafts {
    auto = create
    special_use = \Drafts
  }
  mailbox Sent {
    auto = create
    special_use = \Sent
  }
  mailbox Trash {
    auto = create
    special_use = \Trash
  }
  mailbox Junk {
    auto = create
    special_use = \Junk
  }
}
plugin {
  quota = count:User quota
  quota_vsizes = yes
  quota_grace = 0
  mail_log_events = save copy expunge delete undelete mailbox_delete mailbox_rename
  mail_log_fields = box uid msgid size
}
protocol imap {
  mail_plugins = quota notify mail_log imap_quota
}
# What arrives at the wrong node is forwarded to the right one.
lmtp_proxy = yes
lmtp_rcpt_check_quota = yes
# With a limit, deliveries show among the sessions of a user: a move waits for their end.
lmtp_user_concurrency_limit = 1000
lmtp_save_to_detail_mailbox = no
quota_full_tempfail = no
"#;

pub(super) fn render(source: &Source<'_>) -> String {
    let mut text = String::from("# Rendered by umail-agent; changes are overwritten.\n");
    text += &general(source);
    text += CONSTANT;
    text += &listeners(source);
    text += &tls_settings(source);
    text += &passdbs(source);
    text += &reply::settings(source);
    text
}

fn general(source: &Source<'_>) -> String {
    let layout = source.layout;
    let served =
        [(ListenerKind::Pop3, "pop3"), (ListenerKind::Imap, "imap"), (ListenerKind::Lmtp, "lmtp")];
    let is_open = |(kind, name)| source.open.contains(&kind).then_some(name);
    let protocols: Vec<&str> = served.into_iter().filter_map(is_open).collect();
    // These may say for whom they speak; they say where their clients come from.
    let trusted = addresses(&source.settings.peers_with(&[Role::Pop, Role::Storage]));
    format!(
        "base_dir = {run}\n\
         state_dir = {run}\n\
         log_path = {log}\n\
         listen = {listen}\n\
         protocols = {protocols}\n\
         hostname = {hostname}\n\
         postmaster_address = postmaster@{hostname}\n\
         login_trusted_networks = {trusted}\n\
         mail_uid = {MAIL_USER}\n\
         mail_gid = {MAIL_USER}\n\
         first_valid_uid = {uid}\n\
         last_valid_uid = {uid}\n\
         first_valid_gid = {gid}\n\
         last_valid_gid = {gid}\n",
        run = layout.run("dovecot").display(),
        log = layout.log("dovecot").display(),
        listen = listen(&source.config.listen),
        protocols = protocols.join(" "),
        hostname = source.settings.hostname,
        uid = source.mail_user.uid,
        gid = source.mail_user.gid,
    )
}

fn listen(addresses: &[IpAddr]) -> String {
    if addresses.is_empty() {
        return "*, ::".to_owned();
    }
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Networks as Dovecot writes them.
fn addresses(addresses: &[IpAddr]) -> String {
    let one = |address: &IpAddr| match address {
        IpAddr::V4(address) => format!("{address}/32"),
        IpAddr::V6(address) => format!("{address}/128"),
    };
    addresses.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn listeners(source: &Source<'_>) -> String {
    let ports = source.config.ports;
    let secure = |port: u16| if source.has_tls { port } else { 0 };
    let mut text = String::new();
    for (kind, service, plain, tls) in [
        (ListenerKind::Pop3, "pop3", ports.pop3, ports.pop3s),
        (ListenerKind::Imap, "imap", ports.imap, ports.imaps),
    ] {
        if source.open.contains(&kind) {
            let _ = write!(
                text,
                "service {service}-login {{\n  inet_listener {service} {{\n    port = {plain}\n  }}\n  \
                 inet_listener {service}s {{\n    port = {tls}\n    ssl = yes\n  }}\n}}\n",
                tls = secure(tls),
            );
        }
    }
    if source.open.contains(&ListenerKind::Lmtp) {
        let _ = write!(
            text,
            "service lmtp {{\n  unix_listener lmtp {{\n    mode = 0\n  }}\n  \
             inet_listener lmtp {{\n    port = {}\n  }}\n}}\n",
            ports.lmtp
        );
    }
    if source.is_sasl {
        text += "service auth {\n  unix_listener postfix-auth {\n    mode = 0660\n    \
                 user = postfix\n  }\n}\n";
    }
    text
}

fn tls_settings(source: &Source<'_>) -> String {
    if !source.has_tls {
        return "ssl = no\n".to_owned();
    }
    let pair = source.folder.join(tls::PAIR);
    let roots = source.folder.join(tls::ROOTS);
    format!(
        "ssl = yes\nssl_cert = <{pair}\nssl_key = <{pair}\nssl_min_protocol = TLSv1.2\n\
         # Login processes verify the storage node by this one, all others by the other.\n\
         ssl_ca = <{roots}\nssl_require_crl = no\nssl_client_ca_file = {roots}\n",
        pair = pair.display(),
        roots = roots.display(),
    )
}

/// First who somebody is and where the mailbox lies, then whether one of the passwords is right,
/// then whether it is the time to let somebody in. `continue-fail`: knowing who somebody is lets
/// nobody in. (After `continue` Dovecot would not look at the passwords any more.)
fn passdbs(source: &Source<'_>) -> String {
    let path = |name: &str| source.folder.join(name).display().to_string();
    let mut text = format!(
        "passdb {{\n  driver = sql\n  mechanisms = none plain login\n  args = {}\n}}\n\
         passdb {{\n  driver = sql\n  mechanisms = plain login\n  args = {}\n  \
         result_success = continue-fail\n  result_failure = return-fail\n  auth_verbose = yes\n}}\n",
        path(queries::FORWARD),
        path(queries::ACCOUNT),
    );
    for place in 0..APP_PASSWORDS_TRIED {
        let _ = write!(
            text,
            "passdb {{\n  name = {}\n  driver = sql\n  mechanisms = plain login\n  args = {}\n  \
             skip = authenticated\n  result_success = continue-ok\n}}\n",
            queries::app_password(place),
            path(&queries::app_password_file(place)),
        );
    }
    let _ = write!(
        text,
        "passdb {{\n  driver = sql\n  mechanisms = plain login\n  args = {}\n  \
         auth_verbose = yes\n  skip = authenticated\n  result_success = continue-ok\n}}\n\
         passdb {{\n  driver = sql\n  mechanisms = plain login\n  args = {}\n  \
         skip = unauthenticated\n  result_failure = return-fail\n  \
         result_internalfail = return-fail\n}}\n\
         userdb {{\n  driver = sql\n  args = {}\n}}\n",
        path(queries::PASSWORD),
        path(queries::STANDING),
        path(queries::MAILBOX),
    );
    text
}

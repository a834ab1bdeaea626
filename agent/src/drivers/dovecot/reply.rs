//! Automatic replies: the Sieve script that answers for who is away (RFC 5230), and the way out.
//!
//! One script serves everybody. What it has to know of a user comes with the lookup of the mailbox
//! (`queries.rs`), as text that it never reads as Sieve.

use std::{net::SocketAddr, path::Path};

use umail_proto::agent::Role;

use super::Source;
use crate::drivers::tls;

/// The script.
pub(super) const SCRIPT: &str = "reply.sieve";
/// Dovecot's part that runs scripts; the package is `dovecot-sieve`.
const MODULE: &str = "/usr/lib/dovecot/modules/lib90_sieve_plugin.so";
/// Days in which a sender is answered once.
const DAYS: u8 = 7;
/// Addresses of a user that a message may be written to, to be answered. Sieve knows 32 values of a
/// match.
const ADDRESSES: usize = 30;
/// An address that is nobody's, for places that the user has no address for.
const NOBODY: &str = "nobody@invalid";

/// Whether Dovecot can run scripts here.
pub(super) fn is_installed() -> bool {
    Path::new(MODULE).exists()
}

/// The smtp nodes that take replies: this one, then the others.
fn way_out(source: &Source<'_>) -> Vec<SocketAddr> {
    let own = source.is_sasl.then_some(source.config.address);
    let others = source.settings.peers_with(&[Role::Smtp]);
    let port = source.config.ports.reply;
    own.into_iter().chain(others).map(|address| SocketAddr::new(address, port)).collect()
}

/// Settings of LMTP. Nothing when there are no scripts here, or nobody takes what they send.
pub(super) fn settings(source: &Source<'_>) -> String {
    let ways = way_out(source);
    if !source.has_sieve || ways.is_empty() {
        return String::new();
    }
    let ways = ways.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let roots = source.folder.join(tls::ROOTS);
    let roots =
        if source.has_tls { format!(" --roots {}", roots.display()) } else { String::new() };
    format!(
        "sendmail_path = {program} send-reply {ways} --name {name} --address {address}{roots}\n\
         plugin {{\n  sieve_before = file:{script};bindir={compiled}\n  \
         sieve_global_extensions = +vnd.dovecot.environment\n  \
         # Only the program is told so: the reply is from nobody.\n  \
         sieve_vacation_send_from_recipient = yes\n}}\n\
         protocol lmtp {{\n  mail_plugins = quota notify mail_log sieve\n}}\n",
        program = source.program.display(),
        name = source.settings.hostname,
        address = source.config.address,
        script = source.folder.join(SCRIPT).display(),
        compiled = source.layout.sieve().display(),
    )
}

/// The script. A reply goes to who is named in the envelope, once in [`DAYS`] days, and only for
/// mail that names an address of the user: not for lists, bulk mail and other replies. A user who
/// may not send outside answers the names of the own domain only.
const TEXT: &str = r#"# Rendered by umail-agent; changes are overwritten.
require ["vacation", "variables", "environment", "vnd.dovecot.environment", "envelope", "fileinto"];

if environment :matches "vnd.dovecot.config.umail_reply_text" "*" {
  set "text" "${1}";
}
if environment :matches "vnd.dovecot.config.umail_reply_subject" "*" {
  set "subject" "${1}";
}
if environment :matches "vnd.dovecot.config.umail_reply_addresses" "*" {
  set "addresses" "${1}";
}
if environment :matches "vnd.dovecot.config.umail_reply_inside" "*" {
  set "inside" "${1}";
}
if envelope :domain :matches "from" "*" {
  set :lower "domain" "${1}";
}
if allof(not string "${text}" "",
         anyof(string "${inside}" "", string :contains "${inside}" " ${domain} "),
         string :matches "${addresses} {nobody}" "{stars}") {
  # First of all: what is left to the end is done after the reply, once for each attempt.
  fileinto "INBOX";
  if string "${subject}" "" {
    vacation :days {days} :addresses [{places}] "${text}";
  } else {
    vacation :days {days} :subject "${subject}" :addresses [{places}] "${text}";
  }
}
"#;

/// The script with its places for addresses.
pub(super) fn script() -> String {
    let place = |number: usize| format!("\"${{{number}}}\"");
    let places = (1..=ADDRESSES).map(place).collect::<Vec<_>>().join(", ");
    // There is one more: it takes what is left over.
    TEXT.replace("{stars}", &vec!["*"; ADDRESSES + 1].join(" "))
        .replace("{nobody}", &vec![NOBODY; ADDRESSES + 1].join(" "))
        .replace("{places}", &places)
        .replace("{days}", &DAYS.to_string())
}

//! Dovecot's sessions of a user.

use std::{collections::BTreeSet, ffi::OsString, time::Duration};

use umail_proto::functions::Function;

use crate::{
    drivers::Refusal,
    exec::{self, Program},
    layout::Layout,
};

/// How long the end of sessions may take to be ordered.
const KICK_LIMIT: Duration = Duration::from_secs(20);
/// `sysexits.h`: what doveadm says when there was nobody to kick.
const EX_NOHOST: i32 = 68;

/// How long a list of all sessions may take.
const LIST_LIMIT: Duration = Duration::from_secs(20);

/// Who is signed in, and by what: any number of sessions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignedIn {
    /// The name, as it was when the sessions began.
    pub address: String,
    /// The bit of the function that they need.
    pub function: u64,
}

/// Who is signed in by POP3 and IMAP, served here or passed on to another node.
pub async fn signed_in(layout: &Layout) -> Result<BTreeSet<SignedIn>, Refusal> {
    let mut all = BTreeSet::new();
    for words in [&["-f", "tab", "who"][..], &["-f", "tab", "proxy", "list"]] {
        all.extend(listed(&doveadm(layout, words, LIST_LIMIT).await?));
    }
    Ok(all)
}

/// Ends the sessions of the user with this address: those that are served here, and those that are
/// passed on to another node. `*` and `?` stand for any characters, as they do for Dovecot: a user
/// with one in the name takes others of the domain along, who sign in again.
pub async fn kick(layout: &Layout, address: &str) -> Result<(), Refusal> {
    for words in [&["kick", address][..], &["proxy", "kick", address]] {
        doveadm(layout, words, KICK_LIMIT).await?;
    }
    Ok(())
}

/// What doveadm prints; nothing when there is no such session.
async fn doveadm(layout: &Layout, words: &[&str], limit: Duration) -> Result<String, Refusal> {
    let conf = layout.etc("dovecot").join("dovecot.conf");
    let mut arguments: Vec<OsString> = vec!["-c".into(), conf.into()];
    arguments.extend(words.iter().map(Into::into));
    let output = exec::run(Program::Doveadm, &arguments, limit)
        .await
        .map_err(|error| Refusal(error.to_string()))?;
    if output.success() || output.code == Some(EX_NOHOST) {
        Ok(output.stdout)
    } else {
        Err(Refusal(output.complaint()))
    }
}

/// The lines of a list of sessions; the first one names the columns.
fn listed(output: &str) -> impl Iterator<Item = SignedIn> {
    let mut lines = output.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let head = lines.next().unwrap_or_default();
    let place = |names: &[&str]| head.iter().position(|one| names.contains(one));
    let places = place(&["username"]).zip(place(&["proto", "service"]));
    lines.filter_map(move |cells| {
        let (name, protocol) = places?;
        let function = match *cells.get(protocol)? {
            "pop3" => Function::Pop3,
            "imap" => Function::Imap,
            _ => return None,
        };
        Some(SignedIn { address: cells.get(name)?.to_lowercase(), function: function as u64 })
    })
}

//! Dovecot's sessions of a user.

use std::{ffi::OsString, time::Duration};

use crate::{
    drivers::Refusal,
    exec::{self, Program},
    layout::Layout,
};

/// How long the end of sessions may take to be ordered.
const KICK_LIMIT: Duration = Duration::from_secs(20);
/// `sysexits.h`: what doveadm says when there was nobody to kick.
const EX_NOHOST: i32 = 68;

/// Ends the sessions of the user with this address: those that are served here, and those that are
/// passed on to another node.
pub async fn kick(layout: &Layout, address: &str) -> Result<(), Refusal> {
    let conf = layout.etc("dovecot").join("dovecot.conf");
    for words in [&["kick", address][..], &["proxy", "kick", address]] {
        let mut arguments: Vec<OsString> = vec!["-c".into(), conf.clone().into()];
        arguments.extend(words.iter().map(Into::into));
        let output = exec::run(Program::Doveadm, &arguments, KICK_LIMIT)
            .await
            .map_err(|error| Refusal(error.to_string()))?;
        if !output.success() && output.code != Some(EX_NOHOST) {
            return Err(Refusal(output.complaint()));
        }
    }
    Ok(())
}

//! Dovecot's administration: sessions and space of one user.

use std::{ffi::OsString, time::Duration};

use crate::{
    drivers::Refusal,
    exec::{self, Output, Program},
    layout::Layout,
};

/// How long one command may take.
const LIMIT: Duration = Duration::from_secs(30);
/// The exit status for a user without sessions (`EX_NOUSER` of a kick).
const NOBODY: i32 = 68;

/// Ends the sessions of this user.
pub async fn kick(layout: &Layout, address: &str) -> Result<(), Refusal> {
    let output = run(layout, &["kick", address]).await?;
    let had_none = output.code == Some(NOBODY);
    if output.success() || had_none { Ok(()) } else { Err(refusal("kick", &output)) }
}

/// How many sessions this user has.
pub async fn sessions(layout: &Layout, address: &str) -> Result<usize, Refusal> {
    // `-f tab`: the JSON of this version is malformed with two rows.
    let output = run(layout, &["-f", "tab", "who", "-1", address]).await?;
    if !output.success() {
        return Err(refusal("who", &output));
    }
    let is_of_user = |line: &&str| line.split('\t').next() == Some(address);
    Ok(output.stdout.lines().filter(is_of_user).count())
}

/// What the mailbox of this user takes: bytes and messages.
pub async fn usage(layout: &Layout, address: &str) -> Result<(u64, u64), Refusal> {
    let output = run(
        layout,
        &["-f", "tab", "mailbox", "status", "-u", address, "-t", "vsize messages", "*"],
    )
    .await?;
    if !output.success() {
        return Err(refusal("mailbox status", &output));
    }
    let mut lines = output.stdout.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    let row: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    let column = |name: &str| {
        let place = head.iter().position(|column| *column == name)?;
        row.get(place)?.parse().ok()
    };
    match (column("vsize"), column("messages")) {
        (Some(bytes), Some(messages)) => Ok((bytes, messages)),
        _ => {
            Err(Refusal(format!("doveadm mailbox status: {:?} was not understood", output.stdout)))
        }
    }
}

/// Runs doveadm with the configuration of this layout.
async fn run(layout: &Layout, arguments: &[&str]) -> Result<Output, Refusal> {
    let mut all: Vec<OsString> =
        vec!["-c".into(), layout.etc("dovecot").join("dovecot.conf").into()];
    all.extend(arguments.iter().map(OsString::from));
    let output = exec::run(Program::Doveadm, &all, LIMIT).await;
    output.map_err(|error| Refusal(error.to_string()))
}

fn refusal(verb: &str, output: &Output) -> Refusal {
    Refusal(format!("doveadm {verb}: {}", output.complaint()))
}

//! One mailbox on this node, through Dovecot's own administration.

use std::{
    ffi::OsString,
    fs::File,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use tokio::process::Child;
use umail_proto::agent::ActionFindings;

use crate::{
    drivers::Refusal,
    exec::{self, Output, Program},
    layout::Layout,
};

/// How long a question about a mailbox may take; a large one is read through.
const QUESTION_LIMIT: Duration = Duration::from_mins(10);
/// How long the sessions may take to be looked at.
const WHO_LIMIT: Duration = Duration::from_secs(20);
/// `sysexits.h`: what doveadm says when there was nobody to kick.
const EX_NOHOST: i32 = 68;
/// doveadm: the mailboxes changed meanwhile, another run will do the rest.
const DSYNC_AGAIN: i32 = 2;
/// How often one copy is begun.
const ATTEMPTS: usize = 3;

/// A user's mailbox on this node.
pub(super) struct Mailbox {
    conf: PathBuf,
    folder: PathBuf,
    address: String,
}

impl Mailbox {
    /// `user_id` is an id that the replica has let in: never a path.
    pub(super) fn new(layout: &Layout, user_id: &str, address: String) -> Self {
        let conf = layout.etc("dovecot").join("dovecot.conf");
        Self { conf, folder: layout.mail().join(user_id), address }
    }

    /// Whether there is anything of it on the disk.
    pub(super) fn exists(&self) -> bool {
        self.folder.exists()
    }

    /// Whether a session of the user is open.
    pub(super) async fn is_in_use(&self) -> Result<bool, Refusal> {
        let output = self.doveadm(&["-f", "tab", "who", &self.address], WHO_LIMIT).await?;
        if !output.success() && output.code != Some(EX_NOHOST) {
            return Err(Refusal(output.complaint()));
        }
        // The first line names the columns.
        Ok(output.stdout.lines().skip(1).any(|line| !line.trim().is_empty()))
    }

    /// Makes the other side, which is reached through this socket, equal to this mailbox.
    pub(super) async fn backup(
        &self,
        program: &Path,
        socket: &Path,
        limit: Duration,
    ) -> Result<(), Refusal> {
        let arguments: Vec<OsString> = vec![
            "-c".into(),
            self.conf.clone().into(),
            "backup".into(),
            "-u".into(),
            self.address.clone().into(),
            program.into(),
            "dsync-pipe".into(),
            socket.into(),
        ];
        let output =
            exec::run(Program::Doveadm, &arguments, limit).await.map_err(super::refusal)?;
        match output.code {
            Some(0 | DSYNC_AGAIN) => Ok(()),
            _ => Err(Refusal(output.complaint())),
        }
    }

    /// Starts the receiving side of a copy, which speaks on its standard streams.
    pub(super) fn receive(&self) -> Result<Child, Refusal> {
        let arguments: Vec<OsString> = vec![
            "-c".into(),
            self.conf.clone().into(),
            "dsync-server".into(),
            "-u".into(),
            self.address.clone().into(),
        ];
        exec::spawn(Program::Doveadm, &arguments).map_err(super::refusal)
    }

    /// Number, size and digest of all messages: equal on two nodes when the mailboxes are.
    pub(super) async fn describe(&self) -> Result<ActionFindings, Refusal> {
        let fields = "mailbox uid guid size.virtual flags";
        let fetch = ["-f", "tab", "fetch", "-u", &self.address, fields, "mailbox", "*"];
        let messages = self.succeed(&fetch).await?;
        let status = ["-f", "tab", "mailbox", "status", "-u", &self.address, "uidvalidity", "*"];
        let folders = self.succeed(&status).await?;
        Ok(findings(&messages, &folders))
    }

    /// Removes it from the disk, together with what an earlier attempt has left. Nothing there is
    /// as good as removed; what is no folder is not ours, and stays. Links are not followed.
    pub(super) fn remove(&self) -> io::Result<()> {
        // First out of Dovecot's sight: a crash in between leaves no half mailbox under its name.
        let mut aside = self.folder.clone().into_os_string();
        aside.push(".removed");
        let aside = PathBuf::from(aside);
        remove_folder(&aside)?;
        if is_folder(&self.folder)? {
            std::fs::rename(&self.folder, &aside)?;
            remove_folder(&aside)?;
        }
        if self.exists() {
            return Err(io::Error::other("it was made again meanwhile"));
        }
        // On the disk before it is answered: a loss of power brings nothing back.
        let Some(root) = self.folder.parent() else { return Ok(()) };
        match File::open(root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            root => root?.sync_all(),
        }
    }

    async fn succeed(&self, arguments: &[&str]) -> Result<String, Refusal> {
        let mut complaint = String::new();
        for _attempt in 0..ATTEMPTS {
            let output = self.doveadm(arguments, QUESTION_LIMIT).await?;
            if output.success() {
                return Ok(output.stdout);
            }
            complaint = output.complaint();
        }
        Err(Refusal(complaint))
    }

    async fn doveadm(&self, arguments: &[&str], limit: Duration) -> Result<Output, Refusal> {
        let mut all: Vec<OsString> = vec!["-c".into(), self.conf.clone().into()];
        all.extend(arguments.iter().map(Into::into));
        exec::run(Program::Doveadm, &all, limit).await.map_err(super::refusal)
    }
}

fn remove_folder(path: &Path) -> io::Result<()> {
    if is_folder(path)? { std::fs::remove_dir_all(path) } else { Ok(()) }
}

/// Whether there is a folder, and not something else in its place.
fn is_folder(path: &Path) -> io::Result<bool> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Ok(true),
        Ok(_) => Err(io::Error::other(format!("{} is not a folder", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sums up what doveadm printed: one line a message, one line a folder, after the column names.
fn findings(messages: &str, folders: &str) -> ActionFindings {
    let rows = |text: &str| text.lines().skip(1).map(canonical).collect::<Vec<_>>();
    let (mut messages, mut folders) = (rows(messages), rows(folders));
    messages.sort_unstable();
    folders.sort_unstable();
    let mut digest = Sha256::new();
    for line in messages.iter().chain(&folders) {
        digest.update(line.as_bytes());
        digest.update(b"\n");
    }
    let sizes = messages.iter().filter_map(|line| line.split('\t').nth(3)?.parse::<u64>().ok());
    ActionFindings {
        messages: u64::try_from(messages.len()).unwrap_or(u64::MAX),
        bytes: sizes.sum(),
        digest: digest.finalize().to_vec(),
    }
}

/// A line with its flags in order. `\Recent` belongs to a session, not to a message.
fn canonical(line: &str) -> String {
    let mut columns: Vec<&str> = line.split('\t').collect();
    let Some(last) = columns.pop() else { return String::new() };
    let mut flags: Vec<&str> = last.split(' ').filter(|flag| *flag != "\\Recent").collect();
    flags.sort_unstable();
    let flags = flags.join(" ");
    columns.push(&flags);
    columns.join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDERS: &str = "mailbox\tuidvalidity\nINBOX\t17\nSent\t18\n";

    #[test]
    fn order_and_recent_flags_do_not_count() {
        let one = "mailbox\tuid\tguid\tsize.virtual\tflags\n\
                   INBOX\t1\taa\t55\t\\Recent\nSent\t1\tbb\t45\t\\Seen kw \\Flagged\n";
        let other = "mailbox\tuid\tguid\tsize.virtual\tflags\n\
                     Sent\t1\tbb\t45\t\\Flagged \\Seen kw\nINBOX\t1\taa\t55\t\n";
        let found = findings(one, FOLDERS);
        assert_eq!(found, findings(other, "mailbox\tuidvalidity\nSent\t18\nINBOX\t17\n"));
        assert_eq!((found.messages, found.bytes), (2, 100));
    }

    #[test]
    fn every_difference_of_a_message_or_folder_counts() {
        let base = "h\nINBOX\t1\taa\t55\t\\Seen\n";
        let found = findings(base, FOLDERS).digest;
        for other in [
            "h\nINBOX\t2\taa\t55\t\\Seen\n",
            "h\nINBOX\t1\taa\t55\t\n",
            "h\nJunk\t1\taa\t55\t\\Seen\n",
        ] {
            assert_ne!(findings(other, FOLDERS).digest, found, "{other}");
        }
        assert_ne!(findings(base, "h\nINBOX\t17\nSent\t19\n").digest, found);
    }
}

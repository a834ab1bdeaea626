//! Lookups that Postfix and Dovecot make by the configuration that the agent has installed.

use std::{
    fmt::Write as _,
    io::Write as _,
    process::{Command, Stdio},
    time::Instant,
};

use umail_agent::layout::Layout;

use crate::{node::dovecot_conf, rows};

/// Commands of one turn.
const COMMANDS: u64 = 100;
/// Every user has it.
pub(crate) const PASSWORD: &str = "a long enough passphrase";

/// What is looked up.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Postfix: where mail for an address goes.
    Alias,
    /// Dovecot: the mailbox of a recipient.
    Mailbox,
    /// Dovecot: somebody signs in.
    Login,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Alias, Self::Mailbox, Self::Login];

    /// A word for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Alias => "postmap",
            Self::Mailbox => "doveadm_user",
            Self::Login => "doveadm_auth",
        }
    }

    /// Users that one command looks up; of logins it takes but one.
    const fn users(self) -> u64 {
        if matches!(self, Self::Login) { 1 } else { 100 }
    }

    /// Seconds that each command of one turn took. Every user has to be found; the node is the
    /// first of ten storage nodes, so it has every tenth one.
    pub(crate) fn run(self, layout: &Layout, among: u64) -> Result<Vec<f64>, String> {
        let mut seconds = Vec::new();
        for command in 0..COMMANDS {
            let users = (0..self.users()).map(|user| command * 1_499 + user * 37);
            let names: Vec<_> = users.map(|user| rows::address(user * 10 % among)).collect();
            let started = Instant::now();
            self.look_up(layout, &names)?;
            seconds.push(started.elapsed().as_secs_f64());
        }
        Ok(seconds)
    }

    fn look_up(self, layout: &Layout, names: &[String]) -> Result<(), String> {
        let mut child = self
            .command(layout, names)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        if let (Self::Alias, Some(mut stdin)) = (self, child.stdin.take()) {
            let mut keys = String::new();
            for name in names {
                writeln!(keys, "{name}").map_err(|error| error.to_string())?;
            }
            stdin.write_all(keys.as_bytes()).map_err(|error| error.to_string())?;
        }
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        let answers = String::from_utf8_lossy(&output.stdout);
        let found = match self {
            Self::Login => usize::from(answers.contains("auth succeeded")),
            _ => answers.lines().filter(|line| !line.is_empty()).count(),
        };
        if output.status.success() && output.stderr.is_empty() && found == names.len() {
            return Ok(());
        }
        let complaint = String::from_utf8_lossy(&output.stderr);
        let wanted = names.len();
        Err(format!("{}: {found} of {wanted} found: {answers}{complaint}", self.name()))
    }

    fn command(self, layout: &Layout, names: &[String]) -> Command {
        if let Self::Alias = self {
            let folder = layout.etc("postfix");
            let mut command = Command::new("/usr/sbin/postmap");
            command.args(["-c".as_ref(), folder.as_os_str(), "-q".as_ref(), "-".as_ref()]);
            command.arg(format!("sqlite:{}", folder.join("aliases.cf").display()));
            return command;
        }
        let mut command = Command::new("/usr/bin/doveadm");
        command.arg("-c").arg(dovecot_conf(layout));
        if let Self::Login = self {
            command.args(["auth", "test", "-x", "service=imap", "-x", "rip=127.0.0.1"]);
            command.args(names).arg(PASSWORD);
        } else {
            command.args(["user", "-f", "home", "-x", "service=lmtp", "-x", "rip=127.0.0.1"]);
            command.args(names);
        }
        command
    }
}

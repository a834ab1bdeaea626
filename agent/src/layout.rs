//! Where everything of one node lies on the disk.

use std::path::{Path, PathBuf};

/// The folders of a node, all below the agent's data directory.
///
/// Several nodes may share a machine (network namespaces, tests): nothing is kept elsewhere.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout below this data directory.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The data directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What only the agent reads: node key, certificate, ledger, spool. Mode 0700.
    #[must_use]
    pub fn agent(&self) -> PathBuf {
        self.root.join("agent")
    }

    /// Installed configuration of a service, such as `etc/postfix`.
    #[must_use]
    pub fn etc(&self, service: &str) -> PathBuf {
        self.root.join("etc").join(service)
    }

    /// The replica that Postfix and Dovecot read.
    #[must_use]
    pub fn directory_db(&self) -> PathBuf {
        self.root.join("db").join("directory.sqlite")
    }

    /// Credentials, readable by Dovecot's auth only.
    #[must_use]
    pub fn secrets_db(&self) -> PathBuf {
        self.root.join("secrets").join("secrets.sqlite")
    }

    /// Logs of the mail daemons, such as `log/postfix.log`.
    #[must_use]
    pub fn log(&self, service: &str) -> PathBuf {
        self.root.join("log").join(format!("{service}.log"))
    }

    /// Postfix's queue directory.
    #[must_use]
    pub fn queue(&self) -> PathBuf {
        self.root.join("queue")
    }

    /// Postfix's data directory.
    #[must_use]
    pub fn postfix_data(&self) -> PathBuf {
        self.root.join("postfix-data")
    }

    /// Sockets and pid files of a service.
    #[must_use]
    pub fn run(&self, service: &str) -> PathBuf {
        self.root.join("run").join(service)
    }

    /// Where Postfix asks whether a user may send so much.
    #[must_use]
    pub fn sending_socket(&self) -> PathBuf {
        self.run("sending").join("policy")
    }

    /// What Dovecot compiles of Sieve scripts. Belongs to the user of the mailboxes.
    #[must_use]
    pub fn sieve(&self) -> PathBuf {
        self.root.join("sieve")
    }

    /// Mailboxes, one folder per user id.
    #[must_use]
    pub fn mail(&self) -> PathBuf {
        self.root.join("mail")
    }
}

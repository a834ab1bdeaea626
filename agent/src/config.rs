//! The agent's configuration file.

use std::{
    fmt, fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// What a person writes into `agent.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where everything of this node lies.
    #[serde(default = "default_data_dir")]
    pub data_dir: PathBuf,
    /// The gRPC address of the server, such as `https://umail.example.net:7443`. Several API
    /// servers may be listed; the link goes round.
    pub servers: Vec<String>,
    /// Address under which clients and other nodes reach this node's mail services and its agent.
    pub address: IpAddr,
    /// Addresses that the mail listeners are bound to; all of the machine when there is none.
    #[serde(default)]
    pub listen: Vec<IpAddr>,
    /// Port on which the agent answers the agents of other nodes (mailbox moves), mTLS.
    #[serde(default = "default_peer_port")]
    pub peer_port: u16,
    /// Port of `/metrics` on 127.0.0.1; 0 switches it off.
    #[serde(default = "default_metrics_port")]
    pub metrics_port: u16,
    /// Seconds that one report of traffic covers.
    #[serde(default = "default_traffic_interval_seconds")]
    pub traffic_interval_seconds: u32,
    /// Who starts and stops the mail daemons.
    #[serde(default)]
    pub supervisor: SupervisorKind,
    /// Ports of the mail listeners.
    #[serde(default)]
    pub ports: Ports,
    /// `json` or `human`.
    #[serde(default)]
    pub log_format: LogFormat,
}

/// A configuration file that cannot be used: names the file, the key and the reason.
#[derive(Debug)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads the file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let named =
            |reason: &dyn fmt::Display| ConfigError(format!("{}: {reason}", path.display()));
        let text = fs::read_to_string(path).map_err(|error| named(&error))?;
        let config: Self = toml::from_str(&text).map_err(|error| named(&error))?;
        if config.servers.is_empty() {
            return Err(named(&"servers: at least one is needed"));
        }
        if !config.data_dir.is_absolute() {
            return Err(named(&"data_dir: the path must be absolute"));
        }
        Ok(config)
    }
}

/// Who starts and stops the mail daemons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SupervisorKind {
    /// systemd over D-Bus: production.
    #[default]
    Systemd,
    /// The daemons' own commands: containers, network namespaces, tests.
    Direct,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For a terminal.
    Human,
}

/// Ports of the mail listeners, as standards assign them.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ports {
    /// Mail from other servers, RFC 5321.
    pub smtp: u16,
    /// Mail from users, RFC 6409.
    pub submission: u16,
    /// POP3, RFC 1939, with STARTTLS.
    pub pop3: u16,
    /// POP3 over TLS, RFC 8314.
    pub pop3s: u16,
    /// IMAP, RFC 9051, with STARTTLS.
    pub imap: u16,
    /// IMAP over TLS, RFC 8314.
    pub imaps: u16,
    /// LMTP between nodes, RFC 2033.
    pub lmtp: u16,
    /// Automatic replies on their way from storage nodes to smtp nodes. The same on all nodes.
    pub reply: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            smtp: 25,
            submission: 587,
            pop3: 110,
            pop3s: 995,
            imap: 143,
            imaps: 993,
            lmtp: 24,
            reply: 7_445,
        }
    }
}

fn default_data_dir() -> PathBuf {
    PathBuf::from("/var/lib/umail-agent")
}

const fn default_peer_port() -> u16 {
    7444
}

const fn default_metrics_port() -> u16 {
    9464
}

const fn default_traffic_interval_seconds() -> u32 {
    10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_file_is_one_and_says_the_defaults() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/umail-agent.toml");
        let documented = Config::load(&path).unwrap();
        let least = "servers = ['https://umail.example.net:7443']\naddress = '192.0.2.11'";
        let least: Config = toml::from_str(least).unwrap();
        assert_eq!(format!("{documented:?}"), format!("{least:?}"));
    }

    #[test]
    fn an_error_names_file_key_and_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.toml");
        for (text, key) in [
            ("servers = []\naddress = '192.0.2.11'", "servers"),
            ("servers = ['https://a']\naddress = 'mx-1'", "address"),
            ("servers = ['https://a']\naddress = '192.0.2.11'\npeer_prot = 1", "peer_prot"),
            ("servers = ['https://a']\naddress = '192.0.2.11'\ndata_dir = 'data'", "data_dir"),
        ] {
            fs::write(&path, text).unwrap();
            let error = Config::load(&path).unwrap_err().to_string();
            assert!(error.contains("agent.toml") && error.contains(key), "{error}");
        }
    }
}

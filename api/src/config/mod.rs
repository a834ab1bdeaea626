//! The configuration: defaults, then the TOML file, then the environment.

mod reader;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZero,
    path::{Path, PathBuf},
    thread,
};

use secrecy::SecretString;
use serde::Deserialize;

pub use self::reader::ConfigError;
use self::reader::Reader;
use crate::{authn::rates::Rate, model::proxies::Proxies};

/// Where the file is looked for when none is named; it need not be there.
pub const DEFAULT_FILE: &str = "/etc/umail/api.toml";

const THREADS: &str = "must be 1 to 1024";
const HTTP_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
const GRPC_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 7443);

const IMPORT_BYTES: i64 = 1 << 30;

/// What an operator writes. `deploy/umail-api.toml` documents every key and its default.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where everything is kept that this server keeps on disk.
    pub data_dir: PathBuf,
    /// The key under which secrets are sealed in the database.
    pub key_file: PathBuf,
    /// Threads that answer requests.
    pub worker_threads: usize,
    /// The database.
    pub database: DatabaseConfig,
    /// Where people are served.
    pub http: HttpConfig,
    /// Where agents are served.
    pub grpc: Listen,
    /// How people sign in.
    pub authn: AuthnConfig,
    /// What is taken in one import.
    pub imports: ImportsConfig,
    /// What is logged, and how.
    pub log: LogConfig,
}

/// The database.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// `postgres://…`; none means the private cluster below `data_dir`.
    pub url: Option<SecretString>,
    /// Connections of this server at most.
    pub max_connections: u32,
}

/// Where people are served, and how often.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Address and port.
    pub listen: SocketAddr,
    /// Requests of one caller.
    pub requests_per_minute: Rate,
    /// Proxies that are believed when they say where a request comes from.
    pub proxies: Proxies,
}

/// How people sign in.
#[derive(Clone, Copy, Debug)]
pub struct AuthnConfig {
    /// Whether operators without a second factor can do nothing but enrol one.
    pub operators_need_totp: bool,
}

/// What is taken in one import.
#[derive(Clone, Copy, Debug)]
pub struct ImportsConfig {
    /// Bytes of its content at most.
    pub max_bytes: i64,
}

/// One listener.
#[derive(Clone, Copy, Debug)]
pub struct Listen {
    /// Address and port.
    pub listen: SocketAddr,
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// For people or for machines.
    pub format: LogFormat,
    /// A level, or directives such as `info,sqlx=warn`.
    pub level: String,
}

/// For whom the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Lines for people.
    Human,
    /// One JSON object per line.
    Json,
}

impl Config {
    /// Reads the file, or the default one if that is there, and the environment over it.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let default = Path::new(DEFAULT_FILE);
        let file = file.or_else(|| default.exists().then_some(default));
        Self::read(Reader::open(file, environment)?)
    }

    fn read(mut reader: Reader) -> Result<Self, ConfigError> {
        let data_dir =
            absolute(reader.take("data_dir")?.unwrap_or_else(|| "/var/lib/umail-api".into()));
        let key_file = reader.take("key_file")?.map(absolute);
        let url: Option<String> = reader.take("database.url")?;
        let config = Self {
            worker_threads: reader
                .take("worker_threads")?
                .unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZero::get)),
            key_file: key_file.unwrap_or_else(|| data_dir.join("key")),
            database: DatabaseConfig {
                url: url.filter(|url| !url.is_empty()).map(SecretString::from),
                max_connections: reader.take("database.max_connections")?.unwrap_or(20),
            },
            http: HttpConfig {
                listen: reader.take("http.listen")?.unwrap_or(HTTP_LISTEN),
                requests_per_minute: reader
                    .take("http.requests_per_minute")?
                    .unwrap_or(Rate::DEFAULT),
                proxies: Proxies {
                    trusted: reader.take("http.trusted_proxies")?.unwrap_or_default(),
                    header: reader.take("http.proxy_header")?.unwrap_or_default(),
                },
            },
            grpc: Listen { listen: reader.take("grpc.listen")?.unwrap_or(GRPC_LISTEN) },
            authn: AuthnConfig {
                operators_need_totp: reader.take("authn.operators_need_totp")?.unwrap_or(true),
            },
            imports: ImportsConfig {
                max_bytes: reader.take("imports.max_bytes")?.unwrap_or(IMPORT_BYTES),
            },
            log: LogConfig {
                format: reader.take("log.format")?.unwrap_or(LogFormat::Human),
                level: reader.take("log.level")?.unwrap_or_else(|| "info".to_owned()),
            },
            data_dir,
        };
        reader.check("worker_threads", (1..=1024).contains(&config.worker_threads), THREADS)?;
        reader.check(
            "database.max_connections",
            config.database.max_connections >= 4,
            "is below 4",
        )?;
        reader.check("imports.max_bytes", config.imports.max_bytes >= 1, "is below 1")?;
        reader.finish()?;
        Ok(config)
    }

    /// Every key with its value, for `umail-api check-config`. The database's password is left out.
    #[must_use]
    pub fn describe(&self) -> BTreeMap<&'static str, String> {
        let proxies: Vec<_> = self.http.proxies.trusted.iter().map(ToString::to_string).collect();
        let database = if self.database.url.is_some() { "(set)" } else { "(embedded)" };
        BTreeMap::from([
            ("data_dir", self.data_dir.display().to_string()),
            ("key_file", self.key_file.display().to_string()),
            ("worker_threads", self.worker_threads.to_string()),
            ("database.url", database.to_owned()),
            ("database.max_connections", self.database.max_connections.to_string()),
            ("http.listen", self.http.listen.to_string()),
            ("http.requests_per_minute", self.http.requests_per_minute.to_string()),
            ("http.trusted_proxies", proxies.join(", ")),
            ("http.proxy_header", self.http.proxies.header.name().to_owned()),
            ("grpc.listen", self.grpc.listen.to_string()),
            ("authn.operators_need_totp", self.authn.operators_need_totp.to_string()),
            ("imports.max_bytes", self.imports.max_bytes.to_string()),
            ("log.format", format!("{:?}", self.log.format).to_lowercase()),
            ("log.level", self.log.level.clone()),
        ])
    }
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::proxies::ProxyHeader;

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("api.toml");
        std::fs::write(&file, text).unwrap();
        let environment = environment.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        Config::load(Some(&file), environment)
            .map_err(|error| error.to_string().replace(&*file.to_string_lossy(), "FILE"))
    }

    #[test]
    fn the_documented_file_holds_the_defaults() {
        let documented = load(include_str!("../../../deploy/umail-api.toml"), &[]).unwrap();
        assert_eq!(documented.describe(), load("", &[]).unwrap().describe());
        for key in documented.describe().keys() {
            let key = key.rsplit('.').next().unwrap();
            assert!(include_str!("../../../deploy/umail-api.toml").contains(key), "{key}");
        }
    }

    #[test]
    fn the_environment_goes_over_the_file() {
        let text = "data_dir = '/a'\n[http]\nlisten = '127.0.0.1:1'";
        let environment = [
            ("UMAIL_API__HTTP__LISTEN", "127.0.0.1:2"),
            ("UMAIL_API__DATABASE__MAX_CONNECTIONS", "7"),
            ("UMAIL_API__HTTP__TRUSTED_PROXIES", "['10.0.0.0/8', '::1']"),
            ("UMAIL_API__HTTP__PROXY_HEADER", "forwarded"),
        ];
        let config = load(text, &environment).unwrap();
        assert_eq!(config.http.listen.port(), 2);
        assert_eq!(config.database.max_connections, 7);
        assert_eq!(config.describe()["http.trusted_proxies"], "10.0.0.0/8, ::1/128");
        assert_eq!(config.http.proxies.header, ProxyHeader::Forwarded);
        assert_eq!(config.key_file, Path::new("/a/key"));
    }

    #[test]
    fn errors_name_the_file_the_key_and_the_reason() {
        for (text, starts) in [
            ("data_dir = 3", "FILE: data_dir: "),
            ("[http]\nlisten = 'here'", "FILE: http.listen: "),
            (
                "[http]\nrequests_per_minute = 0",
                "FILE: http.requests_per_minute: must be a number from 1 on",
            ),
            (
                "[http]\ntrusted_proxies = ['10.0.0.1/8']",
                "FILE: http.trusted_proxies: \"10.0.0.1/8\" has bits behind its prefix",
            ),
            ("[http]\ntrusted_proxies = '10.0.0.0/8'", "FILE: http.trusted_proxies: "),
            ("[http]\nproxy_header = 'x-real-ip'", "FILE: http.proxy_header: "),
            ("[http]\nlissten = 'here'", "FILE: http.lissten: unknown key"),
            ("http = 4", "FILE: http: is not a table"),
            ("worker_threads = 0", "FILE: worker_threads: must be 1 to 1024"),
            ("[database]\nmax_connections = 1", "FILE: database.max_connections: is below 4"),
            ("= 4", "FILE: "),
        ] {
            let error = load(text, &[]).unwrap_err();
            assert!(error.starts_with(starts), "{error}");
        }
        let error = load("", &[("UMAIL_API__GRPC__LISTEN", "x")]).unwrap_err();
        assert!(
            error.starts_with("environment variable UMAIL_API__GRPC__LISTEN: grpc.listen: "),
            "{error}"
        );
        let error = load("", &[("UMAIL_API__GRPC__PORT", "1")]).unwrap_err();
        assert_eq!(error, "environment variable UMAIL_API__GRPC__PORT: grpc.port: unknown key");
    }

    #[test]
    fn a_named_file_must_be_there() {
        let error = Config::load(Some(Path::new("/nonexistent/api.toml")), []).unwrap_err();
        assert!(error.to_string().starts_with("/nonexistent/api.toml: "), "{error}");
    }
}

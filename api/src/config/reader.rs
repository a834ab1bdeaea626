//! Takes keys out of a TOML file and the environment, and says exactly what is wrong with one.

use std::{collections::BTreeMap, path::Path};

use serde::de::DeserializeOwned;

const PREFIX: &str = "UMAIL_API__";

/// What is wrong: where, which key, and why.
#[derive(Debug, thiserror::Error)]
#[error("{origin}: {}{reason}", key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default())]
pub struct ConfigError {
    origin: String,
    key: Option<String>,
    reason: String,
}

/// The keys that nobody has taken yet.
pub(super) struct Reader {
    origin: String,
    file: BTreeMap<String, toml::Value>,
    environment: BTreeMap<String, String>,
}

impl Reader {
    pub(super) fn open(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let environment = environment.into_iter().filter_map(|(name, value)| {
            let key = name.strip_prefix(PREFIX)?.to_lowercase().replace("__", ".");
            Some((key, value))
        });
        let mut reader = Self {
            origin: file.map_or_else(String::new, |file| file.display().to_string()),
            file: BTreeMap::new(),
            environment: environment.collect(),
        };
        if let Some(file) = file {
            let text = std::fs::read_to_string(file).map_err(|cause| reader.wrong(None, cause))?;
            let table = text.parse().map_err(|cause: toml::de::Error| reader.wrong(None, cause))?;
            reader.flatten(table)?;
        }
        Ok(reader)
    }

    /// Sections are one level deep.
    fn flatten(&mut self, table: toml::Table) -> Result<(), ConfigError> {
        for (name, value) in table {
            if let toml::Value::Table(section) = value {
                let keys = section.into_iter().map(|(key, value)| (format!("{name}.{key}"), value));
                self.file.extend(keys);
            } else if matches!(name.as_str(), "database" | "http" | "grpc" | "authn" | "log") {
                return Err(self.wrong(Some(&name), "is not a table"));
            } else {
                self.file.insert(name, value);
            }
        }
        Ok(())
    }

    /// The value of a key: the environment's, else the file's.
    pub(super) fn take<T: DeserializeOwned>(
        &mut self,
        key: &str,
    ) -> Result<Option<T>, ConfigError> {
        let in_file = self.file.remove(key);
        if let Some(text) = self.environment.remove(key) {
            // Numbers are written without quotes, texts too.
            let bare = text.parse().ok().and_then(|value: toml::Value| value.try_into().ok());
            let value = bare.map_or_else(|| toml::Value::String(text).try_into(), Ok);
            return value.map(Some).map_err(|cause| self.wrong_variable(key, cause.message()));
        }
        in_file
            .map(toml::Value::try_into)
            .transpose()
            .map_err(|cause| self.wrong(Some(key), cause.message()))
    }

    /// A rule that the type of the value does not express.
    pub(super) fn check(&self, key: &str, holds: bool, reason: &str) -> Result<(), ConfigError> {
        if holds { Ok(()) } else { Err(self.wrong(Some(key), reason)) }
    }

    /// Refuses whatever nobody took: most often a slip of the pen.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        if let Some(key) = self.file.keys().next() {
            return Err(self.wrong(Some(key), "unknown key"));
        }
        let variable = self.environment.keys().next();
        variable.map_or(Ok(()), |key| Err(self.wrong_variable(key, "unknown key")))
    }

    fn wrong(&self, key: Option<&str>, reason: impl std::fmt::Display) -> ConfigError {
        ConfigError {
            origin: self.origin.clone(),
            key: key.map(str::to_owned),
            reason: reason.to_string().trim_end().to_owned(),
        }
    }

    #[expect(clippy::unused_self, reason = "reads like its sibling")]
    fn wrong_variable(&self, key: &str, reason: &str) -> ConfigError {
        let variable = format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"));
        ConfigError {
            origin: format!("environment variable {variable}"),
            key: Some(key.to_owned()),
            reason: reason.trim_end().to_owned(),
        }
    }
}

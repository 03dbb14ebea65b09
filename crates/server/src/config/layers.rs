//! Flags over environment over file over defaults, and who had the last word on each setting.

use std::fmt;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Quote, SetTo};
use super::file::{self, Value};
use super::table::{Config, KEYS, Key, SECTIONS};

/// The prefix of the environment variables that are ours.
const ENV_PREFIX: &str = "DUOLOG_";

/// Variables of ours that aren't settings of the broker.
const ENV_OTHERS: [&str; 6] = [
    "DUOLOG_CONFIG",
    "DUOLOG_BOOTSTRAP",
    "DUOLOG_NATS_SERVER",
    "DUOLOG_NATS_USER",
    "DUOLOG_NATS_PASSWORD",
    "DUOLOG_NATS_TOKEN",
];

/// Who set a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody.
    Default,
    /// A line of the file.
    File {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// An environment variable of this name.
    Env(String),
    /// A flag, as it was written.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// What the outside world says about the settings, unread.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The file's path and text, if there is one.
    pub file: Option<(PathBuf, String)>,
    /// Environment variables (those that aren't ours are passed over).
    pub env: Vec<(String, String)>,
    /// Flags: as written, the setting's name, the value. The later one wins.
    pub flags: Vec<(String, String, String)>,
}

/// The configuration, and who set each of [`KEYS`], in their order.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Every setting.
    pub config: Config,
    /// Who set it, by its place in [`KEYS`].
    pub origins: Vec<Origin>,
}

impl Layers {
    /// Reads the file at `path` into the layers.
    ///
    /// # Errors
    /// It can't be read.
    #[expect(clippy::disallowed_methods, reason = "read before there is an environment to hand files out")]
    pub fn read_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let read = std::fs::File::open(path).and_then(std::io::read_to_string);
        let text = read.map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        self.file = Some((path.to_owned(), text));
        Ok(())
    }

    /// Lays the layers over each other.
    ///
    /// # Errors
    /// A name that isn't a setting's, a value that it can't have, settings that contradict each other.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let mut loaded = Loaded { config: Config::default(), origins: vec![Origin::Default; KEYS.len()] };
        if let Some((path, text)) = &self.file {
            loaded.take_file(path, text)?;
        }
        for (name, value) in &self.env {
            loaded.take_env(name, value)?;
        }
        for (flag, key, value) in &self.flags {
            let origin = Origin::Flag(flag.clone());
            loaded.take(key, value, origin, Quote::default(), Quote::default())?;
        }
        loaded.check_order("groups.min_session_timeout", "groups.max_session_timeout", |config| {
            config.groups.min_session_timeout <= config.groups.max_session_timeout
        })?;
        loaded.check_order("kafka.max_frame_bytes", "kafka.request_memory_bytes", |config| {
            config.kafka.max_frame_bytes <= config.kafka.request_memory_bytes
        })?;
        loaded.check_advertised()?;
        Ok(loaded)
    }
}

impl Loaded {
    fn take_file(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let entries = file::read(text).map_err(|error| ConfigError::Yaml {
            path: path.to_owned(),
            line: error.line,
            reason: error.reason,
            text: text.to_owned(),
        })?;
        for entry in entries {
            let quote = |(line, column): (usize, usize)| Quote(Some((text.to_owned(), line, column)));
            let origin = Origin::File { path: path.to_owned(), line: entry.at.0 };
            let reason = match &entry.value {
                Value::Text(value) => {
                    self.take(&entry.key, value, origin, quote(entry.at), quote(entry.value_at))?;
                    continue;
                }
                // All that stands in it is commented out.
                Value::Empty if SECTIONS.iter().any(|(name, _)| *name == entry.key) => continue,
                Value::Empty => "has no value",
                Value::List => "is a list, where one value belongs",
            };
            find(&entry.key, &origin, &quote(entry.at))?;
            let (key, reason, excerpt) = (entry.key, reason.to_owned(), quote(entry.at));
            return Err(ConfigError::BadValue { origin, key, reason, excerpt });
        }
        Ok(())
    }

    fn take_env(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        if !name.starts_with(ENV_PREFIX) || ENV_OTHERS.contains(&name) {
            return Ok(());
        }
        let origin = Origin::Env(name.to_owned());
        if let Some(key) = KEYS.iter().find(|key| key.env_name() == name) {
            return self.take(key.name, value, origin, Quote::default(), Quote::default());
        }
        let nearest = nearest(name, KEYS.iter().map(Key::env_name));
        // Kubernetes puts DUOLOG_PORT and the like into every pod beside a service called duolog. Only our own
        // form, with two underscores, or what is nearly one of our names, is a mistake of the operator.
        if !name.contains("__") && nearest.is_none() {
            return Ok(());
        }
        let excerpt = Quote::default();
        Err(ConfigError::UnknownKey { origin, key: name.to_owned(), suggestion: nearest, excerpt })
    }

    fn take(
        &mut self,
        name: &str,
        value: &str,
        origin: Origin,
        key_quote: Quote,
        value_quote: Quote,
    ) -> Result<(), ConfigError> {
        let index = find(name, &origin, &key_quote)?;
        (KEYS[index].set)(&mut self.config, value).map_err(|reason| ConfigError::BadValue {
            origin: origin.clone(),
            key: name.to_owned(),
            reason,
            excerpt: value_quote,
        })?;
        self.origins[index] = origin;
        Ok(())
    }

    fn check_order(
        &self,
        low: &'static str,
        high: &'static str,
        holds: impl Fn(&Config) -> bool,
    ) -> Result<(), ConfigError> {
        if holds(&self.config) {
            return Ok(());
        }
        Err(ConfigError::Crossed { low: Box::new(self.of(low)), high: Box::new(self.of(high)) })
    }

    fn check_advertised(&self) -> Result<(), ConfigError> {
        if self.config.kafka.advertised.is_some() || !self.config.kafka.listen.is_wildcard() {
            return Ok(());
        }
        Err(ConfigError::NotAdvertised { listen: Box::new(self.of("kafka.listen")) })
    }

    /// The setting `key` with its value, and who set it.
    fn of(&self, key: &'static str) -> SetTo {
        let index = KEYS.iter().position(|known| known.name == key);
        let (value, origin) = index.map_or_else(
            || (String::new(), Origin::Default),
            |index| ((KEYS[index].show)(&self.config), self.origins[index].clone()),
        );
        SetTo { key, value, origin }
    }
}

fn find(name: &str, origin: &Origin, quote: &Quote) -> Result<usize, ConfigError> {
    KEYS.iter().position(|key| key.name == name).ok_or_else(|| ConfigError::UnknownKey {
        origin: origin.clone(),
        key: name.to_owned(),
        suggestion: nearest(name, KEYS.iter().map(|key| key.name.to_owned())),
        excerpt: quote.clone(),
    })
}

/// The one of `names` that `name` is probably meant to be: spelt nearly so, or right but for its section.
fn nearest(name: &str, names: impl Iterator<Item = String>) -> Option<String> {
    let last = |name: &str| name.rsplit(['.']).next().unwrap_or_default().to_owned();
    names
        .map(|known| {
            let distance = strsim::damerau_levenshtein(name, &known);
            let same_key = last(&known) == last(name);
            (if same_key { distance.min(2) } else { distance }, known)
        })
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, known)| *distance <= 2 + known.len() / 8)
        .map(|(_, known)| known)
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;

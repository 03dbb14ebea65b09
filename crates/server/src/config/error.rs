//! What can be wrong with the configuration, and where: each text names file and line, variable or flag, and
//! what was probably meant.

use std::fmt;
use std::path::PathBuf;

use super::layers::Origin;

/// Why the configuration can't be used. The broker doesn't start.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file isn't YAML, or has a key twice.
    #[error("{}: {reason}{}", position(path, *line), Excerpt(text, *line, None))]
    Yaml {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1; 0 if it isn't known.
        line: usize,
        /// What is wrong: mostly the parser's words.
        reason: String,
        /// The file's text.
        text: String,
    },
    /// There is no such setting.
    #[error("{origin}: unknown setting `{key}`{}{}", meant(suggestion.as_deref()), excerpt)]
    UnknownKey {
        /// Who set it.
        origin: Origin,
        /// The name that was used.
        key: String,
        /// The name that is nearest to it.
        suggestion: Option<String>,
        /// The line of the file.
        excerpt: Quote,
    },
    /// The setting can't have that value.
    #[error("{origin}: {key}: {reason}{excerpt}")]
    BadValue {
        /// Who set it.
        origin: Origin,
        /// The setting.
        key: String,
        /// What is wrong with it.
        reason: String,
        /// The line of the file.
        excerpt: Quote,
    },
    /// Two settings contradict each other.
    #[error("{low} is above {high}")]
    Crossed {
        /// The setting that is to be the lower one.
        low: Box<SetTo>,
        /// The setting that is to be the higher one.
        high: Box<SetTo>,
    },
    /// Clients would be told to connect to an address that means "every address of this machine".
    #[error("{listen} is no address to connect to: set kafka.advertised to the host:port that clients use")]
    NotAdvertised {
        /// What is listened on.
        listen: Box<SetTo>,
    },
}

/// A setting with its value, and who set it.
#[derive(Debug)]
pub struct SetTo {
    /// The setting.
    pub key: &'static str,
    /// Its value.
    pub value: String,
    /// Who set it.
    pub origin: Origin,
}

impl fmt::Display for SetTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} ({})", self.key, self.value, self.origin)
    }
}

/// A line of the file under an error's text, if it came from a file.
#[derive(Clone, Debug, Default)]
pub struct Quote(pub Option<(String, usize, usize)>);

impl fmt::Display for Quote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some((text, line, column)) => Excerpt(text, *line, Some(*column)).fmt(f),
            None => Ok(()),
        }
    }
}

/// A line of `0` with its number, and a mark under a column.
struct Excerpt<'a>(&'a str, usize, Option<usize>);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(line) = self.1.checked_sub(1).and_then(|index| self.0.lines().nth(index)) else {
            return Ok(());
        };
        let margin = self.1.to_string().len();
        write!(f, "\n{:margin$} |\n{} | {line}", "", self.1)?;
        if let Some(column) = self.2 {
            // Under the start of the word, to its end.
            let start = column.saturating_sub(1);
            let word =
                line.chars().skip(start).take_while(|letter| !letter.is_whitespace() && *letter != ':');
            let length = word.count().max(1);
            write!(f, "\n{:margin$} | {:start$}{}", "", "", "^".repeat(length))?;
        }
        Ok(())
    }
}

fn position(path: &std::path::Path, line: usize) -> String {
    if line == 0 { path.display().to_string() } else { format!("{}:{line}", path.display()) }
}

fn meant(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(
        || "; `duolog config reference` lists all".to_owned(),
        |name| format!("; did you mean `{name}`?"),
    )
}

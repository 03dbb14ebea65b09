//! The YAML file as a flat list of keys and values, each with the line it stands on.
//!
//! Knows YAML, not the settings: names and values are checked by `layers`.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// A key with its value, as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The full name: sections and key with dots between them.
    pub key: String,
    /// What stands behind it.
    pub value: Value,
    /// Where the key stands: line and column, counted from 1.
    pub at: (usize, usize),
    /// Where the value stands.
    pub value_at: (usize, usize),
}

/// What stands behind a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A value, as text.
    Text(String),
    /// Nothing: a section whose keys are all commented out, or a setting without a value.
    Empty,
    /// A list.
    List,
}

/// Why the text isn't usable YAML: the line (0 if unknown) and what is wrong there.
#[derive(Debug, PartialEq, Eq)]
pub struct NotYaml {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong: mostly the parser's words.
    pub reason: String,
}

enum Node {
    /// Nothing stands behind the colon.
    Empty,
    Scalar(String),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
    List,
}

/// Reads `text`. An empty file has no entries.
pub fn read(text: &str) -> Result<Vec<Entry>, NotYaml> {
    let root: Option<Spanned<Node>> = serde_saphyr::from_str(text).map_err(|error| NotYaml {
        line: error.location().map_or(0, |location| usize::try_from(location.line()).unwrap_or(0)),
        reason: plain(&error),
    })?;
    let mut entries = Vec::new();
    match root.map(|root| root.value) {
        None | Some(Node::Empty) => {}
        Some(Node::Map(map)) => flatten("", map, &mut entries),
        Some(Node::Scalar(_) | Node::List) => {
            return Err(NotYaml { line: 1, reason: "settings are written as `key: value`".to_owned() });
        }
    }
    Ok(entries)
}

/// The parser's words in one line, without its own excerpt: ours follows.
fn plain(error: &serde_saphyr::Error) -> String {
    let error = error.without_snippet();
    // Its words for this one are for whoever calls the library.
    if let serde_saphyr::Error::DuplicateMappingKey { key, .. } = error {
        return key
            .as_ref()
            .map_or_else(|| "a key stands twice".to_owned(), |key| format!("`{key}` stands twice"));
    }
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    match first.split_once(" at line ") {
        Some((reason, _)) => reason.to_owned(),
        None => first.to_owned(),
    }
}

fn flatten(prefix: &str, map: Vec<(Spanned<String>, Spanned<Node>)>, entries: &mut Vec<Entry>) {
    for (name, node) in map {
        let key = if prefix.is_empty() { name.value.clone() } else { format!("{prefix}.{}", name.value) };
        let value = match node.value {
            Node::Map(map) => {
                flatten(&key, map, entries);
                continue;
            }
            Node::Scalar(text) => Value::Text(text),
            Node::Empty => Value::Empty,
            Node::List => Value::List,
        };
        entries.push(Entry { key, value, at: place(&name.referenced), value_at: place(&node.referenced) });
    }
}

fn place(location: &serde_saphyr::Location) -> (usize, usize) {
    let number = |number: u64| usize::try_from(number).unwrap_or(0);
    (number(location.line()), number(location.column()))
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or a section")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Empty)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Empty)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = access.next_entry()? {
            map.push(entry);
        }
        Ok(Node::Map(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        while access.next_element::<serde::de::IgnoredAny>()?.is_some() {}
        Ok(Node::List)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_flattened_and_keep_their_lines() {
        let text = "# a comment\ndata_dir: /var/lib/duolog\nkafka:\n  listen: 127.0.0.1:0\n  max_connections: 5\n\
                    topics: {auto_create: false}\n";
        let entries = read(text).unwrap();
        let text = |entry: &Entry| match &entry.value {
            Value::Text(text) => text.clone(),
            other => panic!("{}: {other:?}", entry.key),
        };
        let found: Vec<_> =
            entries.iter().map(|entry| (entry.key.as_str(), text(entry), entry.at, entry.value_at)).collect();
        assert_eq!(
            found,
            [
                ("data_dir", "/var/lib/duolog".to_owned(), (2, 1), (2, 11)),
                ("kafka.listen", "127.0.0.1:0".to_owned(), (4, 3), (4, 11)),
                ("kafka.max_connections", "5".to_owned(), (5, 3), (5, 20)),
                ("topics.auto_create", "false".to_owned(), (6, 10), (6, 23)),
            ]
        );
    }

    #[test]
    fn what_is_not_a_map_of_values_is_refused_with_its_line() {
        assert_eq!(read(""), Ok(Vec::new()));
        assert_eq!(read("- a\n- b\n").unwrap_err().reason, "settings are written as `key: value`");
        assert!(read("a:\n  b: [1\nc: 2\n").unwrap_err().line > 1);
        assert!(read("a: 1\na: 2\n").unwrap_err().reason.contains("`a` stands twice"));
        assert!(read("a:\n").unwrap()[0].value == Value::Empty);
        assert!(read("a: [1]\n").unwrap()[0].value == Value::List);
    }
}

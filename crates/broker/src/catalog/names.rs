//! Which names a topic may have, and which names are too much alike.
//!
//! Kafka's rules (`org.apache.kafka.common.internals.Topic`).

/// The longest name, bytes (all of them are ASCII).
pub const NAME_MAX: usize = 249;

/// What is wrong with a topic's name (`INVALID_TOPIC_EXCEPTION`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameProblem {
    /// It has no characters.
    #[error("topic name is empty")]
    Empty,
    /// It is `.` or `..`.
    #[error("topic name must not be '.' or '..'")]
    Dots,
    /// It is too long.
    #[error("topic name has {length} characters, the limit is {NAME_MAX}")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// It has a character that isn't allowed.
    #[error("topic name has the character {0:?}; letters, digits, '.', '_' and '-' are allowed")]
    BadCharacter(char),
}

/// Checks a name.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn check_name(name: &str) -> Result<(), NameProblem> {
    if name.is_empty() {
        return Err(NameProblem::Empty);
    }
    if matches!(name, "." | "..") {
        return Err(NameProblem::Dots);
    }
    if name.len() > NAME_MAX {
        return Err(NameProblem::TooLong { length: name.chars().count() });
    }
    match name.chars().find(|c| !matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-')) {
        Some(c) => Err(NameProblem::BadCharacter(c)),
        None => Ok(()),
    }
}

/// The form in which names that collide are equal: `.` counts as `_`.
#[must_use]
pub(crate) fn collision_key(name: &str) -> String {
    name.replace('.', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_kafka_does() {
        let long = "x".repeat(250);
        let table: &[(&str, Result<(), NameProblem>)] = &[
            ("orders", Ok(())),
            ("a.b_c-D9", Ok(())),
            ("...", Ok(())),
            (&long[..249], Ok(())),
            ("", Err(NameProblem::Empty)),
            (".", Err(NameProblem::Dots)),
            ("..", Err(NameProblem::Dots)),
            (&long, Err(NameProblem::TooLong { length: 250 })),
            ("a b", Err(NameProblem::BadCharacter(' '))),
            ("a=1", Err(NameProblem::BadCharacter('='))),
            ("größe", Err(NameProblem::BadCharacter('ö'))),
            ("a/../b", Err(NameProblem::BadCharacter('/'))),
        ];
        for (name, expected) in table {
            assert_eq!(check_name(name), *expected, "{name}");
        }
        assert_eq!(collision_key("a.b_c"), collision_key("a_b.c"));
        assert_ne!(collision_key("a.b"), collision_key("a-b"));
    }
}

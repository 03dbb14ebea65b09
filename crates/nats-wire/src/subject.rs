//! Subjects: tokens between dots, `*` for one token, `>` for one or more at the end.
//!
//! Bytes, not text: the reference doesn't ask for UTF-8. A wildcard is a token of that one character: `a*` is an
//! ordinary token.

/// The tokens of a subject, empty ones too.
pub fn tokens(subject: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> + Clone {
    subject.split(|byte| *byte == b'.')
}

/// Whether a subscription may have this subject: no empty token, nothing behind `>`.
#[must_use]
pub fn is_subscribable(subject: &[u8]) -> bool {
    let mut ended = false;
    for token in tokens(subject) {
        if token.is_empty() || ended {
            return false;
        }
        ended = token == b">";
    }
    true
}

/// Whether a stream, a filter or a mapping may have this subject: [`is_subscribable`], and no white space.
#[must_use]
pub fn is_valid(subject: &[u8]) -> bool {
    is_subscribable(subject)
        && !subject.iter().any(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c'))
}

/// Whether a message may be published to this subject: no empty token, no wildcard.
#[must_use]
pub fn is_valid_literal(subject: &[u8]) -> bool {
    tokens(subject).all(|token| !token.is_empty() && token != b"*" && token != b">")
}

/// Whether there is a wildcard in it.
#[must_use]
pub fn has_wildcard(subject: &[u8]) -> bool {
    tokens(subject).any(|token| token == b"*" || token == b">")
}

/// Whether every subject that `subject` stands for is one that `pattern` stands for. A literal `subject` is such a
/// subject when `pattern` matches it.
#[must_use]
pub fn is_subset(subject: &[u8], pattern: &[u8]) -> bool {
    let mut own = tokens(subject);
    for wanted in tokens(pattern) {
        let Some(token) = own.next() else { return false };
        if wanted.is_empty() || token.is_empty() {
            return false;
        }
        if wanted == b">" {
            // Whatever follows has one token at least: this one. Empty ones match nothing, here neither.
            return own.all(|token| !token.is_empty());
        }
        if token == b">" || (token == b"*" && wanted != b"*") {
            return false;
        }
        if wanted != b"*" && wanted != token {
            return false;
        }
    }
    own.next().is_none()
}

/// Whether `pattern` matches the literal `subject`.
#[must_use]
pub fn matches(subject: &[u8], pattern: &[u8]) -> bool {
    is_subset(subject, pattern)
}

/// Whether some literal subject is matched by both.
#[must_use]
pub fn overlaps(one: &[u8], other: &[u8]) -> bool {
    let (mut one, mut other) = (tokens(one), tokens(other));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(token), None) | (None, Some(token)) => {
                // `>` stands for one token at least, and there is none.
                let _ = token;
                return false;
            }
            (Some(left), Some(right)) => {
                if left.is_empty() || right.is_empty() {
                    return false;
                }
                if left == b">" || right == b">" {
                    return one.all(|token| !token.is_empty()) && other.all(|token| !token.is_empty());
                }
                if left != b"*" && right != b"*" && left != right {
                    return false;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn validity_follows_the_reference() {
        // Subject, subscribable, valid, literal.
        for (subject, subscribable, valid, literal) in [
            ("a", true, true, true),
            ("a.b.c", true, true, true),
            ("a.*.c", true, true, false),
            ("a.>", true, true, false),
            (">", true, true, false),
            ("*", true, true, false),
            ("a*.b", true, true, true),
            ("a.>b", true, true, true),
            ("", false, false, false),
            (".a", false, false, false),
            ("a.", false, false, false),
            ("a..b", false, false, false),
            (">.a", false, false, false),
            ("a.>.b", false, false, false),
            ("a b", true, false, true),
            ("a.\t", true, false, true),
        ] {
            let bytes = subject.as_bytes();
            assert_eq!(is_subscribable(bytes), subscribable, "{subject:?}");
            assert_eq!(is_valid(bytes), valid, "{subject:?}");
            assert_eq!(is_valid_literal(bytes), literal, "{subject:?}");
        }
        assert!(has_wildcard(b"a.*") && has_wildcard(b">") && !has_wildcard(b"a*.>b"));
    }

    #[test]
    fn patterns_match_by_token() {
        for (subject, pattern, expected) in [
            ("a", "a", true),
            ("a.b", "a.*", true),
            ("a.b", "*.*", true),
            ("a.b.c", "a.>", true),
            ("a", "a.>", false),
            ("a.b.c", "a.*", false),
            ("a", "a.*", false),
            ("a.*", "a.>", true),
            ("a.>", "a.*", false),
            ("a.>", ">", true),
            ("a.*", "a.*", true),
            ("a.*", "a.b", false),
            ("a.b", "a.*.c", false),
            ("a..b", "a.>", false),
            ("a.b.", "a.>", false),
        ] {
            assert_eq!(is_subset(subject.as_bytes(), pattern.as_bytes()), expected, "{subject} {pattern}");
        }
    }

    #[test]
    fn overlap_is_a_common_literal() {
        for (one, other, expected) in [
            ("a.b", "a.b", true),
            ("a.*", "*.b", true),
            ("a.*", "b.*", false),
            ("a.>", "*.*.c", true),
            ("a.>", "a", false),
            (">", "a", true),
            ("a.*.c", "a.b", false),
            ("a.*.>", "a.b", false),
        ] {
            assert_eq!(overlaps(one.as_bytes(), other.as_bytes()), expected, "{one} {other}");
            assert_eq!(overlaps(other.as_bytes(), one.as_bytes()), expected, "{other} {one}");
        }
    }

    fn pattern() -> impl Strategy<Value = String> {
        let token = prop_oneof![Just("a"), Just("b"), Just("*")];
        (proptest::collection::vec(token, 0..4), any::<bool>()).prop_map(|(tokens, tail)| {
            let mut tokens = tokens;
            if tail || tokens.is_empty() {
                tokens.push(">");
            }
            tokens.join(".")
        })
    }

    /// Every literal of up to five tokens over a, b, c: c stands for "any other".
    fn literals() -> Vec<String> {
        let mut all = vec![String::new()];
        let mut from = 0;
        for _ in 0..5 {
            let until = all.len();
            for at in from..until {
                for token in ["a", "b", "c"] {
                    let dot = if all[at].is_empty() { "" } else { "." };
                    let longer = format!("{}{dot}{token}", all[at]);
                    all.push(longer);
                }
            }
            from = until;
        }
        all.remove(0);
        all
    }

    proptest! {
        #[test]
        fn subset_and_overlap_are_what_they_say_of_literals(one in pattern(), other in pattern()) {
            let (one, other) = (one.as_bytes(), other.as_bytes());
            let literals = literals();
            let both = literals.iter().any(|l| matches(l.as_bytes(), one) && matches(l.as_bytes(), other));
            let within = literals
                .iter()
                .all(|l| !matches(l.as_bytes(), one) || matches(l.as_bytes(), other));
            prop_assert_eq!(overlaps(one, other), both);
            prop_assert_eq!(is_subset(one, other), within);
        }
    }
}

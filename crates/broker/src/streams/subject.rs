//! Subjects: tokens between dots; `*` stands for one token, `>` for one or more at the end.
//!
//! The door checks what clients send; here are the few questions that streams ask. Bytes are compared as they are.

/// Whether `subject` is well formed: no empty token, no white space, `>` at the end only. Wildcards are allowed.
#[must_use]
pub fn is_valid(subject: &str) -> bool {
    if subject.is_empty() || subject.bytes().any(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | 0x0c)) {
        return false;
    }
    let mut tokens = subject.split('.').peekable();
    while let Some(token) = tokens.next() {
        if token.is_empty() || (token == ">" && tokens.peek().is_some()) {
            return false;
        }
    }
    true
}

/// Whether it has no wildcards.
#[must_use]
pub fn is_literal(subject: &str) -> bool {
    // Nearly all have neither byte.
    !subject.bytes().any(|b| b == b'*' || b == b'>') || subject.split('.').all(|t| t != "*" && t != ">")
}

/// Whether `pattern` lets the literal `subject` through.
#[must_use]
pub fn matches(pattern: &str, subject: &str) -> bool {
    let mut left = subject.split('.');
    let mut tokens = pattern.split('.').peekable();
    while let Some(token) = tokens.next() {
        let Some(found) = left.next() else { return false };
        if token == ">" && tokens.peek().is_none() {
            return true;
        }
        if token != "*" && token != found {
            return false;
        }
    }
    left.next().is_none()
}

/// Whether some subject is let through by both.
#[must_use]
pub fn overlaps(a: &str, b: &str) -> bool {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (None, _) | (_, None) => return false,
            (Some(">"), _) | (_, Some(">")) => return true,
            (Some(x), Some(y)) if x == y || x == "*" || y == "*" => {}
            _ => return false,
        }
    }
}

/// Whether everything that `narrow` lets through, `wide` lets through too.
#[must_use]
pub fn is_subset(narrow: &str, wide: &str) -> bool {
    let (mut narrow, mut wide) = (narrow.split('.'), wide.split('.'));
    loop {
        match (narrow.next(), wide.next()) {
            (None, None) => return true,
            (Some(_), Some(">")) => return true,
            (Some(">"), _) | (None, _) | (_, None) => return false,
            (Some(_), Some("*")) => {}
            (Some(x), Some(y)) if x == y => {}
            _ => return false,
        }
    }
}

/// The tokens before the first wildcard, with their dots: every subject that the pattern lets through begins so.
#[must_use]
pub(crate) fn literal_prefix(pattern: &str) -> &str {
    let mut end = 0;
    for token in pattern.split_inclusive('.') {
        if matches!(token.trim_end_matches('.'), "*" | ">") {
            return &pattern[..end];
        }
        end += token.len();
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_the_reference_does() {
        for (pattern, subject, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.c", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a", true),
            ("*.b", "a.b", true),
            ("a.*.c", "a.b.c", true),
        ] {
            assert_eq!(matches(pattern, subject), expected, "{pattern} {subject}");
        }
    }

    #[test]
    fn overlap_and_subset_agree_with_matching() {
        let tokens = ["a", "b", "*"];
        let mut patterns = vec![">".to_owned()];
        for x in tokens {
            patterns.push(x.to_owned());
            patterns.push(format!("{x}.>"));
            for y in tokens {
                patterns.push(format!("{x}.{y}"));
                patterns.push(format!("{x}.{y}.>"));
            }
        }
        let mut subjects = Vec::new();
        for x in ["a", "b", "z"] {
            subjects.push(x.to_owned());
            for y in ["a", "b", "z"] {
                subjects.push(format!("{x}.{y}"));
                subjects.push(format!("{x}.{y}.z"));
            }
        }
        for p in &patterns {
            for q in &patterns {
                let both = subjects.iter().any(|s| matches(p, s) && matches(q, s));
                assert_eq!(overlaps(p, q), both, "{p} {q}");
                let all = subjects.iter().all(|s| !matches(p, s) || matches(q, s));
                assert_eq!(is_subset(p, q), all, "{p} in {q}");
            }
        }
    }

    #[test]
    fn malformed_subjects_are_refused() {
        for bad in ["", ".", "a.", ".a", "a..b", "a b", ">.a", "a.>.b", "a\t"] {
            assert!(!is_valid(bad), "{bad:?}");
        }
        for good in ["a", "a.b", "*", ">", "a.*.>", "a*", "größe.x"] {
            assert!(is_valid(good), "{good:?}");
        }
        assert!(is_literal("a*.b") && !is_literal("a.*") && !is_literal(">"));
        assert_eq!(literal_prefix("a.b.*.c"), "a.b.");
        assert_eq!(literal_prefix(">"), "");
        assert_eq!(literal_prefix("a.b"), "a.b");
    }
}

//! Which of the sorted subjects a pattern lets through, without looking at those in between: after a subject that doesn't match,
//! the search goes on at the first text that may.
//!
//! All subjects that begin alike stand together, so `orders.*.paid` among a million subjects of a thousand orders costs
//! a thousand short searches and no walk over a million.

use super::dictionary::SubjectId;
use super::order::Order;

#[derive(Clone, Copy, Debug)]
enum Token<'a> {
    Literal(&'a [u8]),
    Any,
    /// One token or more.
    Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Match,
    /// The next one may match.
    Next,
    /// Nothing below the target matches.
    Seek,
    /// Nothing behind it matches.
    Over,
}

/// The numbers of the subjects that `pattern` lets through, in the order of their texts. `prefix` is what the pattern
/// begins with before its first wildcard.
pub(super) fn matching<'a>(
    order: &Order,
    pattern: &str,
    prefix: &str,
    text: impl Fn(SubjectId) -> &'a [u8],
) -> Vec<SubjectId> {
    let parts = pattern.split('.').count();
    let tokens: Vec<Token<'_>> = pattern
        .split('.')
        .enumerate()
        .map(|(at, token)| match token {
            ">" if at + 1 == parts => Token::Rest,
            "*" => Token::Any,
            token => Token::Literal(token.as_bytes()),
        })
        .collect();
    let prefix = prefix.as_bytes();
    let (mut found, mut target) = (Vec::new(), Vec::new());
    let mut place = order.seek(prefix, &text);
    while let Some(id) = order.get(place) {
        let subject = text(id);
        if !subject.starts_with(prefix) {
            break;
        }
        let verdict = judge(&tokens, subject, &mut target);
        place = order.next(place);
        match verdict {
            Verdict::Match => found.push(id),
            Verdict::Next => {}
            Verdict::Over => break,
            Verdict::Seek => place = order.seek_from(place, &target, &text),
        }
    }
    found
}

/// Whether a subject matches; if not, `target` is the first text behind it that may.
fn judge(tokens: &[Token<'_>], subject: &[u8], target: &mut Vec<u8>) -> Verdict {
    let mut at = 0;
    for (number, token) in tokens.iter().enumerate() {
        if at > subject.len() {
            return Verdict::Next;
        }
        let end = memchr::memchr(b'.', &subject[at..]).map_or(subject.len(), |dot| at + dot);
        match token {
            Token::Rest => return Verdict::Match,
            Token::Any => {}
            Token::Literal(literal) if subject[at..end] == **literal => {}
            Token::Literal(literal) => {
                target.clear();
                target.extend_from_slice(&subject[..at]);
                target.extend_from_slice(literal);
                if number + 1 < tokens.len() {
                    target.push(b'.');
                }
                if target.as_slice() > subject {
                    return Verdict::Seek;
                }
                // Where the token would stand was passed: on behind everything that begins so.
                return if at == 0 { Verdict::Over } else { behind(&subject[..at - 1], target) };
            }
        }
        at = end + 1;
    }
    if at > subject.len() { Verdict::Match } else { behind(&subject[..at - 1], target) }
}

/// The first text behind all those that go on after `tokens` and a dot.
fn behind(tokens: &[u8], target: &mut Vec<u8>) -> Verdict {
    target.clear();
    target.extend_from_slice(tokens);
    target.push(b'.' + 1);
    Verdict::Seek
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::streams::subject;

    proptest! {
        #[test]
        fn finds_what_each_by_itself_would(
            subjects in proptest::collection::btree_set("[a-c](-|/|[a-c])?(\\.[a-c][-a-c]?){0,3}", 0..200),
            pattern in "(\\*|[a-c])(\\.(\\*|[a-c][-a-c]?)){0,3}(\\.>)?",
        ) {
            let subjects: BTreeSet<String> = subjects;
            let texts: Vec<&str> = subjects.iter().map(String::as_str).collect();
            let ids: Vec<SubjectId> = (0..texts.len() as u32).collect();
            let order = Order::from_sorted(&ids);
            let found = matching(&order, &pattern, subject::literal_prefix(&pattern), |id| texts[id as usize].as_bytes());
            let expected: Vec<SubjectId> =
                ids.iter().copied().filter(|id| subject::matches(&pattern, texts[*id as usize])).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn most_are_never_looked_at() {
        let texts: Vec<String> = (0..100_000).map(|n| format!("s.{:03}.{:03}", n / 1000, n % 1000)).collect();
        let ids: Vec<SubjectId> = (0..100_000).collect();
        let order = Order::from_sorted(&ids);
        let looks = std::cell::Cell::new(0);
        let found = matching(&order, "s.*.077", "s.", |id| {
            looks.set(looks.get() + 1);
            texts[id as usize].as_bytes()
        });
        assert_eq!(found, (0..100).map(|group| group * 1000 + 77).collect::<Vec<_>>());
        assert!(looks.get() < 100 * 100, "{} texts looked at", looks.get());
    }
}

//! Which stream takes a subject: the subjects of streams, and the roots that topics are bound to.
//!
//! No two streams' subjects overlap, and no stream's a root, so at most one answers. Between roots the longest wins.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::subject;

/// First tokens that no topic is bound to: clients' and servers' own.
const RESERVED: &[&str] = &["_INBOX", "_R_", "_GR_", "_SYS"];

/// Whether a topic's name can be a root: a subject without reserved first token.
pub(crate) fn can_be_root(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or("");
    subject::is_valid(name)
        && subject::is_literal(name)
        && !first.starts_with('$')
        && !RESERVED.contains(&first)
}

/// See the module. `T` is what a subject is found for.
#[derive(Debug)]
pub(crate) struct Matcher<S, T> {
    tree: Node<S>,
    /// All subjects of streams, with their streams' names.
    subjects: BTreeMap<String, Arc<str>>,
    roots: HashMap<Arc<str>, T>,
}

#[derive(Debug)]
struct Node<S> {
    children: HashMap<Box<str>, Node<S>>,
    any: Option<Box<Node<S>>>,
    /// Whose subject ends here.
    here: Option<S>,
    /// Whose subject goes on with `>` here.
    rest: Option<S>,
}

impl<S> Default for Node<S> {
    fn default() -> Self {
        Self { children: HashMap::new(), any: None, here: None, rest: None }
    }
}

impl<S, T> Default for Matcher<S, T> {
    fn default() -> Self {
        Self { tree: Node::default(), subjects: BTreeMap::new(), roots: HashMap::new() }
    }
}

/// What a subject was found for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found<S, T> {
    /// A stream made through NATS.
    Stream(S),
    /// A topic bound to a root.
    Topic(T),
}

/// What stands in the way of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Overlap {
    pub(crate) stream: String,
    pub(crate) subject: String,
    pub(crate) other: String,
}

impl<S: Clone, T: Clone> Matcher<S, T> {
    /// Adds a stream's subjects.
    pub(crate) fn add(&mut self, subjects: &[String], name: &Arc<str>, stream: &S) {
        for subject in subjects {
            let (node, is_rest) = self.tree.at(subject);
            *(if is_rest { &mut node.rest } else { &mut node.here }) = Some(stream.clone());
            self.subjects.insert(subject.clone(), name.clone());
        }
    }

    /// Takes a stream's subjects away.
    pub(crate) fn remove(&mut self, subjects: &[String]) {
        for subject in subjects {
            let (node, is_rest) = self.tree.at(subject);
            *(if is_rest { &mut node.rest } else { &mut node.here }) = None;
            self.tree.prune(subject);
            self.subjects.remove(subject);
        }
    }

    pub(crate) fn bind(&mut self, root: &Arc<str>, topic: T) {
        self.roots.insert(root.clone(), topic);
    }

    pub(crate) fn is_bound(&self, root: &str) -> bool {
        self.roots.contains_key(root)
    }

    pub(crate) fn unbind(&mut self, root: &str) {
        self.roots.remove(root);
    }

    /// Who takes a literal subject.
    pub(crate) fn find(&self, subject: &str) -> Option<Found<S, T>> {
        if let Some(stream) = self.tree.find(subject) {
            return Some(Found::Stream(stream.clone()));
        }
        self.root_of(subject).map(|(_, topic)| Found::Topic(topic.clone()))
    }

    /// The longest root of a literal subject.
    fn root_of(&self, subject: &str) -> Option<(&Arc<str>, &T)> {
        if self.roots.is_empty() {
            return None;
        }
        let mut prefix = subject;
        loop {
            if let Some(found) = self.roots.get_key_value(prefix) {
                return Some(found);
            }
            prefix = &prefix[..prefix.rfind('.')?];
        }
    }

    /// What of another stream or topic overlaps with `subjects`.
    pub(crate) fn overlap(&self, subjects: &[String], own_name: &str) -> Option<Overlap> {
        for subject in subjects {
            let mut others = self.subjects.iter().filter(|(_, name)| &***name != own_name);
            if let Some((other, stream)) = others.find(|(other, _)| subject::overlaps(subject, other)) {
                let (stream, other) = (stream.to_string(), other.clone());
                return Some(Overlap { stream, subject: subject.clone(), other });
            }
            if let Some(root) = self.roots.keys().find(|root| overlaps_root(subject, root)) {
                let (stream, other) = (root.to_string(), format!("{root}.>"));
                return Some(Overlap { stream, subject: subject.clone(), other });
            }
        }
        None
    }

    /// The stream that stands in the way of binding a root, and its subject.
    pub(crate) fn overlap_of_root(&self, root: &str) -> Option<(Arc<str>, String)> {
        let mut subjects = self.subjects.iter();
        let found = subjects.find(|(subject, _)| overlaps_root(subject, root));
        found.map(|(subject, stream)| (stream.clone(), subject.clone()))
    }

    /// The topics whose subjects overlap with a pattern.
    pub(crate) fn topics_of(&self, pattern: &str) -> Vec<T> {
        if subject::is_literal(pattern) {
            return self.root_of(pattern).map(|(_, topic)| topic.clone()).into_iter().collect();
        }
        let overlapping = self.roots.iter().filter(|(root, _)| overlaps_root(pattern, root));
        overlapping.map(|(_, topic)| topic.clone()).collect()
    }
}

fn overlaps_root(pattern: &str, root: &str) -> bool {
    // `root.>` overlaps where the pattern goes on behind all of the root's tokens.
    let mut tokens = pattern.split('.');
    for token in root.split('.') {
        match tokens.next() {
            Some(">") => return true,
            Some(found) if found == "*" || found == token => {}
            _ => return false,
        }
    }
    true
}

impl<S> Node<S> {
    /// The node where a pattern ends (before its `>`), made if it isn't there, and whether it has one.
    fn at(&mut self, pattern: &str) -> (&mut Self, bool) {
        let mut node = self;
        for token in pattern.split('.') {
            match token {
                ">" => return (node, true),
                "*" => node = node.any.get_or_insert_default(),
                token => node = node.children.entry(token.into()).or_default(),
            }
        }
        (node, false)
    }

    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.any.is_none() && self.here.is_none() && self.rest.is_none()
    }

    /// Takes away the nodes of a pattern that hold nothing any more.
    fn prune(&mut self, pattern: &str) {
        let (token, rest) = pattern.split_once('.').unwrap_or((pattern, ""));
        let child = match token {
            ">" | "" => return,
            "*" => self.any.as_deref_mut(),
            token => self.children.get_mut(token),
        };
        let Some(child) = child else { return };
        child.prune(rest);
        if child.is_empty() {
            match token {
                "*" => self.any = None,
                token => _ = self.children.remove(token),
            }
        }
    }

    fn find(&self, subject: &str) -> Option<&S> {
        let (token, rest) = match subject.split_once('.') {
            Some((token, rest)) => (token, Some(rest)),
            None => (subject, None),
        };
        let children = [self.children.get(token), self.any.as_deref()];
        for child in children.into_iter().flatten() {
            let found = match rest {
                Some(rest) => child.find(rest),
                None => child.here.as_ref(),
            };
            if found.is_some() {
                return found;
            }
        }
        self.rest.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern() -> impl Strategy<Value = String> {
        let token = prop_oneof![Just("a"), Just("b"), Just("c"), Just("*")];
        (prop::collection::vec(token, 1..4), any::<bool>()).prop_map(|(tokens, open)| {
            let tail = if open { ".>" } else { "" };
            tokens.join(".") + tail
        })
    }

    proptest! {
        #[test]
        fn the_tree_finds_what_a_list_finds(
            patterns in prop::collection::vec(pattern(), 1..6),
            removed in any::<prop::sample::Index>(),
            subjects in prop::collection::vec("[abcd](\\.[abcd]){0,3}", 1..20),
        ) {
            let mut matcher: Matcher<usize, ()> = Matcher::default();
            let mut list: Vec<(String, usize)> = Vec::new();
            for (index, pattern) in patterns.iter().enumerate() {
                let name: Arc<str> = Arc::from(format!("S{index}"));
                let one = [pattern.clone()];
                let expected = list.iter().any(|(other, _)| subject::overlaps(pattern, other));
                prop_assert_eq!(matcher.overlap(&one, &name).is_some(), expected);
                if !expected {
                    matcher.add(&one, &name, &index);
                    list.push((pattern.clone(), index));
                }
            }
            let (gone, _) = list.remove(removed.index(list.len()));
            matcher.remove(&[gone]);
            for wanted in &subjects {
                let expected = list.iter().find(|(pattern, _)| subject::matches(pattern, wanted));
                let found = matcher.find(wanted);
                prop_assert_eq!(found, expected.map(|(_, index)| Found::Stream(*index)), "{}", wanted);
            }
            let all: Vec<String> = list.into_iter().map(|(pattern, _)| pattern).collect();
            matcher.remove(&all);
            prop_assert!(matcher.tree.is_empty());
        }
    }

    #[test]
    fn the_longest_root_wins_and_streams_do_not_shadow_roots() {
        let mut matcher: Matcher<u8, u8> = Matcher::default();
        matcher.bind(&Arc::from("orders"), 1);
        matcher.bind(&Arc::from("orders.events"), 2);
        for (subject, topic) in [
            ("orders", Some(1)),
            ("orders.eu", Some(1)),
            ("orders.events", Some(2)),
            ("orders.events.a.b", Some(2)),
            ("orders.eventsx", Some(1)),
            ("ordersx", None),
        ] {
            assert_eq!(matcher.find(subject), topic.map(Found::Topic), "{subject}");
        }
        for (subject, overlaps) in [
            ("orders", true),
            ("orders.*", true),
            (">", true),
            ("*", true),
            ("*.x", true),
            ("ordersx.>", false),
        ] {
            assert_eq!(matcher.overlap(&[subject.to_owned()], "S").is_some(), overlaps, "{subject}");
        }
        matcher.add(&["invoices.*.paid".to_owned()], &Arc::from("I"), &7);
        assert!(matcher.overlap_of_root("invoices").is_some());
        assert!(matcher.overlap_of_root("invoices.eu.open").is_none());
        assert!(matcher.overlap_of_root("invoices.eu.paid").is_some());
        for name in ["_INBOX", "_INBOX.x", "$JS", "a..b", ".a"] {
            assert!(!can_be_root(name), "{name}");
        }
        assert!(can_be_root("__consumer_offsets") && can_be_root("a.b_c"));
    }
}

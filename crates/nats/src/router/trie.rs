//! Subscriptions with wildcards, by token.
//!
//! ```text
//! a.*.c   a.>      root ─a─► ○ ─*─► ○ ─c─► ● a.*.c
//!                            └─>─► ● a.>
//! ```

use std::sync::Arc;

use duolog_nats_wire::subject::tokens;
use hashbrown::HashMap;

use super::subscription::{SubSet, Subscription};

/// The tree.
#[derive(Debug, Default)]
pub(crate) struct Trie {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    /// Subscriptions that end here.
    here: SubSet,
    /// Subscriptions that end in `>` below here.
    tail: Option<Box<SubSet>>,
    star: Option<Box<Node>>,
    children: HashMap<Vec<u8>, Node>,
}

impl Node {
    fn is_empty(&self) -> bool {
        self.here.is_empty() && self.tail.is_none() && self.star.is_none() && self.children.is_empty()
    }
}

impl Trie {
    /// Adds a subscription whose subject is [subscribable](duolog_nats_wire::subject::is_subscribable).
    pub(crate) fn insert(&mut self, subscription: Arc<Subscription>) {
        let subject = Arc::clone(&subscription.subject);
        let mut node = &mut self.root;
        for token in tokens(&subject) {
            node = match token {
                b">" => {
                    node.tail.get_or_insert_default().insert(subscription);
                    return;
                }
                b"*" => node.star.get_or_insert_default(),
                _ => node.children.entry_ref(token).or_default(),
            };
        }
        node.here.insert(subscription);
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, subscription: &Arc<Subscription>) -> bool {
        remove(&mut self.root, tokens(&subscription.subject), subscription)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }

    /// Hands every set whose subject matches `subject`, which has no empty token, to `visit`.
    pub(crate) fn visit(&self, subject: &[u8], visit: &mut dyn FnMut(&SubSet)) {
        visit_level(&self.root, tokens(subject), visit);
    }
}

fn visit_level<'a>(
    node: &Node,
    mut rest: impl Iterator<Item = &'a [u8]> + Clone,
    visit: &mut dyn FnMut(&SubSet),
) {
    let Some(token) = rest.next() else {
        if !node.here.is_empty() {
            visit(&node.here);
        }
        return;
    };
    if let Some(tail) = &node.tail {
        visit(tail);
    }
    if let Some(star) = &node.star {
        visit_level(star, rest.clone(), visit);
    }
    if !node.children.is_empty()
        && let Some(child) = node.children.get(token)
    {
        visit_level(child, rest, visit);
    }
}

fn remove<'a>(
    node: &mut Node,
    mut rest: impl Iterator<Item = &'a [u8]>,
    subscription: &Arc<Subscription>,
) -> bool {
    match rest.next() {
        None => node.here.remove(subscription),
        Some(b">") => {
            let Some(tail) = &mut node.tail else { return false };
            let removed = tail.remove(subscription);
            if tail.is_empty() {
                node.tail = None;
            }
            removed
        }
        Some(b"*") => {
            let Some(star) = &mut node.star else { return false };
            let removed = remove(star, rest, subscription);
            if star.is_empty() {
                node.star = None;
            }
            removed
        }
        Some(token) => {
            let Some(child) = node.children.get_mut(token) else { return false };
            let removed = remove(child, rest, subscription);
            if child.is_empty() {
                node.children.remove(token);
                if node.children.capacity() > 16 && node.children.len() < node.children.capacity() / 4 {
                    node.children.shrink_to_fit();
                }
            }
            removed
        }
    }
}

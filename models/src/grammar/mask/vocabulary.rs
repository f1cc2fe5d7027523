//! The tokens of a vocabulary, as a tree and in parts.

use super::groups::{self, Free, Groups};
use llguidance::toktrie::{Recognizer, SimpleVob, TokTrie};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// Most masks and trees that are remembered, at most a megabyte each.
const MASKS_MAX: usize = 64;
const TREES_MAX: usize = 16;

/// The tokens of a vocabulary as a tree, in the order of a walk.
pub(in crate::grammar) struct Vocabulary {
    trie: TokTrie,
    nodes: Vec<Node>,
    /// Of each token its groups and characters; none for what has no bytes.
    tokens: Vec<Option<(Groups, u16)>>,
    /// Tokens that are spelled like one before them: that one, and they.
    twins: Vec<(u32, u32)>,
    /// How many tokens there are of the same groups and number of characters.
    counts: Vec<(Groups, u16, u32)>,
    /// Tokens that are free, and trees of those that are not decided.
    masks: Mutex<Recent<Arc<SimpleVob>>>,
    trees: Mutex<Recent<Option<Arc<[Node]>>>>,
}

/// What was asked for, the newest last.
type Recent<T> = VecDeque<(Free, T)>;

/// A byte behind those of the nodes above it.
#[derive(Clone)]
struct Node {
    /// The token that ends here, [`u32::MAX`] for none.
    token: u32,
    /// Nodes from this one to the last below it.
    size: u32,
    /// Groups of all tokens that end here or below.
    groups: Groups,
    /// Characters of the longest of them.
    longest: u16,
    /// Bytes down to here; a `TokTrie` holds no longer tokens.
    depth: u16,
    byte: u8,
}

impl Vocabulary {
    pub(in crate::grammar) fn new(trie: TokTrie) -> Self {
        let ids = 0..u32::try_from(trie.vocab_size()).unwrap_or(u32::MAX);
        let own = |id: u32| {
            let bytes = trie.token(id);
            (!bytes.is_empty()).then(|| groups::of(bytes))
        };
        let tokens: Vec<Option<(Groups, u16)>> = ids.clone().map(own).collect();
        let mut counts = HashMap::new();
        for alike in tokens.iter().flatten() {
            *counts.entry(*alike).or_default() += 1;
        }
        let counts = counts.into_iter().map(|((groups, chars), count)| (groups, chars, count));
        let counts = counts.collect();
        let mut sorted: Vec<(&[u8], u32)> = ids.map(|id| (trie.token(id), id)).collect();
        sorted.retain(|(bytes, _)| !bytes.is_empty());
        sorted.sort_unstable();
        let (nodes, twins) = tree(&sorted);
        let (masks, trees) = (Mutex::default(), Mutex::default());
        Self { nodes, tokens, twins, counts, masks, trees, trie }
    }

    pub(super) fn trie(&self) -> &TokTrie {
        &self.trie
    }

    /// How many tokens are decided.
    pub(super) fn count(&self, free: Free) -> u32 {
        let own = self.counts.iter().filter(|(groups, chars, _)| free.decides(*groups, *chars));
        own.map(|(_, _, count)| count).sum()
    }

    /// The tokens that are free.
    fn mask(&self, free: Free) -> Arc<SimpleVob> {
        recent(&self.masks, MASKS_MAX, free, || {
            let mut set = self.trie.alloc_token_set();
            for (id, token) in (0..).zip(&self.tokens) {
                if token.is_some_and(|(groups, chars)| free.allows(groups, chars)) {
                    set.allow_token(id);
                }
            }
            Arc::new(set)
        })
    }

    /// The tree of the tokens that are not decided, where it is much smaller than all.
    fn undecided(&self, free: Free) -> Option<Arc<[Node]>> {
        let chars = if free.exact { u16::MAX } else { free.chars };
        recent(&self.trees, TREES_MAX, Free { chars, ..free }, || {
            without(&self.nodes, free, self.nodes.len() / 8).map(Arc::from)
        })
    }

    /// The tokens that may follow, of which some are decided.
    pub(super) fn following(&self, follows: &mut impl Recognizer, free: Free) -> SimpleVob {
        let mut set = self.trie.alloc_token_set();
        if free != Free::NOTHING {
            set.or(&self.mask(free));
        }
        let tree = self.undecided(free);
        walk(tree.as_deref().unwrap_or(&self.nodes), free, follows, &mut set);
        for (first, twin) in &self.twins {
            if set.is_allowed(*first) {
                set.allow_token(*twin);
            }
        }
        set
    }
}

/// What was asked for before, or is made now, while others may ask.
fn recent<T: Clone>(
    known: &Mutex<Recent<T>>,
    most: usize,
    free: Free,
    make: impl FnOnce() -> T,
) -> T {
    let lock = || known.lock().unwrap_or_else(PoisonError::into_inner);
    let take = |known: &mut Recent<T>| {
        let at = known.iter().position(|(own, _)| *own == free)?;
        known.remove(at).map(|(_, value)| value)
    };
    let found = take(&mut lock());
    let value = found.unwrap_or_else(make);
    let mut known = lock();
    // Somebody else may have made it meanwhile.
    take(&mut known);
    known.push_back((free, value.clone()));
    let surplus = known.len().saturating_sub(most);
    known.drain(..surplus);
    value
}

/// Adds the tokens of a tree that may follow, of which some are decided.
fn walk(nodes: &[Node], free: Free, follows: &mut impl Recognizer, into: &mut SimpleVob) {
    follows.trie_started("mask");
    let (mut at, mut depth) = (0, 0);
    while let Some(node) = nodes.get(at) {
        if free.decides(node.groups, node.longest) {
            at += node.size as usize;
            continue;
        }
        let above = usize::from(node.depth) - 1;
        follows.pop_bytes(depth - above);
        if follows.try_push_byte(node.byte) {
            depth = above + 1;
            if node.token != u32::MAX {
                into.allow_token(node.token);
            }
            at += 1;
        } else {
            depth = above;
            at += node.size as usize;
        }
    }
    follows.pop_bytes(depth);
    follows.trie_finished();
}

/// The tree of sorted tokens, and which of them are spelled like another.
fn tree(sorted: &[(&[u8], u32)]) -> (Vec<Node>, Vec<(u32, u32)>) {
    let (mut nodes, mut twins) = (Vec::<Node>::new(), Vec::new());
    // Nodes down to the one before, by depth.
    let mut path: Vec<usize> = Vec::new();
    let mut before: (&[u8], u32) = (&[], u32::MAX);
    for (bytes, token) in sorted.iter().copied() {
        if bytes == before.0 {
            twins.push((before.1, token));
            continue;
        }
        let alike = bytes.iter().zip(before.0).take_while(|(one, other)| one == other).count();
        close(&mut nodes, &mut path, alike);
        for (byte, depth) in bytes.iter().zip(1..).skip(alike) {
            path.push(nodes.len());
            let (token, size, groups, longest, byte) = (u32::MAX, 1, 0, 0, *byte);
            nodes.push(Node { token, size, groups, longest, depth, byte });
        }
        if let Some(node) = nodes.last_mut() {
            node.token = token;
            (node.groups, node.longest) = groups::of(bytes);
        }
        before = (bytes, token);
    }
    close(&mut nodes, &mut path, 0);
    (nodes, twins)
}

/// A tree without the nodes below which all tokens are decided, if no more than `most` are
/// left.
fn without(nodes: &[Node], free: Free, most: usize) -> Option<Vec<Node>> {
    let (mut left, mut path) = (Vec::<Node>::new(), Vec::new());
    let mut at = 0;
    while let Some(node) = nodes.get(at) {
        if free.decides(node.groups, node.longest) {
            at += node.size as usize;
            continue;
        }
        close(&mut left, &mut path, usize::from(node.depth) - 1);
        path.push(left.len());
        left.push(node.clone());
        if left.len() > most {
            return None;
        }
        at += 1;
    }
    close(&mut left, &mut path, 0);
    Some(left)
}

/// Nothing more comes below the nodes of a path that lie deeper than `depth`.
fn close(nodes: &mut [Node], path: &mut Vec<usize>, depth: usize) {
    while path.len() > depth {
        let Some(at) = path.pop() else { return };
        let (groups, longest) = (nodes[at].groups, nodes[at].longest);
        nodes[at].size = (nodes.len() - at) as u32;
        if let Some(above) = path.last() {
            nodes[*above].groups |= groups;
            nodes[*above].longest = nodes[*above].longest.max(longest);
        }
    }
}

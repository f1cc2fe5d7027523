//! Which blocks of the cache hold what: conversations that begin alike share the
//! blocks of their common beginning, within a tenant.
//!
//! What is shared is a tree for each tenant: a node is a full block, reached by the
//! tokens of all blocks before it and its own, so a match is exact and never a
//! collision of hashes. A node that no conversation uses stays until its block is
//! needed; the one that was used longest ago goes first, leaves before their parents.

use crate::compute::cache::POSITIONS;
use std::collections::{BTreeSet, HashMap};

/// The tokens of a block.
type Tokens = [u32; POSITIONS];

/// A node of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeId(u32);

/// Where a block hangs: below a node, or at the root of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Parent {
    Root(u32),
    Node(NodeId),
}

#[derive(Debug)]
struct Node {
    parent: Parent,
    tokens: Tokens,
    block: u32,
    /// Conversations that use it.
    users: u32,
    /// Nodes below it.
    children: u32,
    /// When it was used last.
    used: u64,
    /// Nobody finds it any more; it goes with its last user.
    forgotten: bool,
}

/// The blocks of a cache.
#[derive(Debug)]
pub(crate) struct Blocks {
    free: Vec<u32>,
    nodes: Vec<Option<Node>>,
    unused: Vec<u32>,
    index: HashMap<(Parent, Tokens), NodeId>,
    roots: HashMap<String, u32>,
    /// Leaves that nobody uses, by when they were used last.
    leaves: BTreeSet<(u64, NodeId)>,
    /// Nodes that nobody uses: blocks that can be had.
    idle: usize,
    clock: u64,
    total: usize,
}

impl Blocks {
    /// So many blocks, all free.
    pub(crate) fn new(total: usize) -> Self {
        Self {
            // The lowest first, so that no more memory is touched than needed.
            free: (0..total as u32).rev().collect(),
            nodes: Vec::new(),
            unused: Vec::new(),
            index: HashMap::new(),
            roots: HashMap::new(),
            leaves: BTreeSet::new(),
            idle: 0,
            clock: 0,
            total,
        }
    }

    /// All blocks.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// Blocks that can be had.
    pub(crate) fn available(&self) -> usize {
        self.free.len() + self.idle
    }

    /// Blocks that hold something.
    pub(crate) fn held(&self) -> usize {
        self.total - self.free.len()
    }

    /// The longest known beginning of `tokens`, block by block. Its nodes are in use
    /// until they are given back.
    pub(crate) fn find(&mut self, tenant: &str, tokens: &[u32]) -> Vec<(NodeId, u32)> {
        let mut found = Vec::new();
        let Some(root) = self.roots.get(tenant) else { return found };
        let mut parent = Parent::Root(*root);
        for tokens in tokens.as_chunks::<POSITIONS>().0 {
            let Some(id) = self.index.get(&(parent, *tokens)).copied() else { break };
            let Some(block) = self.retain(id) else { break };
            found.push((id, block));
            parent = Parent::Node(id);
        }
        found
    }

    /// A block for a conversation alone; `None`: there is none.
    pub(crate) fn allocate(&mut self) -> Option<u32> {
        if self.free.is_empty() {
            self.evict();
        }
        self.free.pop()
    }

    /// Shares a full block below another. Returns its node and the block that holds it
    /// now: where the same tokens are known already, theirs, and `block` is free again.
    pub(crate) fn share(
        &mut self,
        tenant: &str,
        below: Option<NodeId>,
        tokens: Tokens,
        block: u32,
    ) -> (NodeId, u32) {
        let parent = match below {
            Some(node) => Parent::Node(node),
            None => {
                let next = self.roots.len() as u32;
                Parent::Root(*self.roots.entry(tenant.to_owned()).or_insert(next))
            }
        };
        let hidden = below.is_some_and(|id| self.node(id).is_some_and(|node| node.forgotten));
        if !hidden
            && let Some(id) = self.index.get(&(parent, tokens)).copied()
            && let Some(known) = self.retain(id)
        {
            self.free.push(block);
            return (id, known);
        }
        self.clock += 1;
        let node = Node {
            parent,
            tokens,
            block,
            users: 1,
            children: 0,
            used: self.clock,
            forgotten: hidden,
        };
        let id = match self.unused.pop() {
            Some(at) => NodeId(at),
            None => {
                self.nodes.push(None);
                NodeId(self.nodes.len() as u32 - 1)
            }
        };
        self.nodes[id.0 as usize] = Some(node);
        if !hidden {
            self.index.insert((parent, tokens), id);
        }
        if let Some(above) = below.and_then(|above| self.node_mut(above)) {
            above.children += 1;
        }
        (id, block)
    }

    /// Gives back what a conversation used.
    pub(crate) fn release(&mut self, nodes: &[NodeId], own: &[u32]) {
        self.free.extend(own.iter().rev());
        // From the leaf up, so that a parent is freed behind its children.
        for id in nodes.iter().rev() {
            let Some(node) = self.node_mut(*id) else { continue };
            node.users -= 1;
            let (users, forgotten, leaf, used) =
                (node.users, node.forgotten, node.children == 0, node.used);
            if users > 0 {
                continue;
            }
            self.idle += 1;
            if leaf {
                self.leaves.insert((used, *id));
            }
            if forgotten && leaf {
                self.remove(*id);
            }
        }
    }

    /// Drops all that a tenant's conversations left behind; what is in use goes with
    /// its last user, and nobody else finds it.
    pub(crate) fn forget(&mut self, tenant: &str) {
        let Some(root) = self.roots.get(tenant).copied() else { return };
        // Children stand behind their parents nowhere in particular, so the roots of
        // all are looked up.
        let own: Vec<NodeId> = (0..self.nodes.len() as u32)
            .map(NodeId)
            .filter(|id| self.root_of(*id) == Some(root))
            .collect();
        for id in &own {
            let Some(node) = self.node_mut(*id) else { continue };
            node.forgotten = true;
            let key = (node.parent, node.tokens);
            self.index.remove(&key);
        }
        // Leaves first: each round takes the next layer.
        loop {
            let gone: Vec<NodeId> = own
                .iter()
                .copied()
                .filter(|id| {
                    self.node(*id).is_some_and(|node| node.users == 0 && node.children == 0)
                })
                .collect();
            if gone.is_empty() {
                return;
            }
            gone.into_iter().for_each(|id| self.remove(id));
        }
    }

    fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0 as usize)?.as_ref()
    }

    fn node_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(id.0 as usize)?.as_mut()
    }

    fn root_of(&self, id: NodeId) -> Option<u32> {
        let mut node = self.node(id)?;
        loop {
            match node.parent {
                Parent::Root(root) => return Some(root),
                Parent::Node(id) => node = self.node(id)?,
            }
        }
    }

    /// Takes a node into use.
    fn retain(&mut self, id: NodeId) -> Option<u32> {
        self.clock += 1;
        let clock = self.clock;
        let node = self.node_mut(id)?;
        let (was_idle, used, block) = (node.users == 0, node.used, node.block);
        node.users += 1;
        node.used = clock;
        if was_idle {
            self.idle -= 1;
            self.leaves.remove(&(used, id));
        }
        Some(block)
    }

    /// Frees the block that was used longest ago.
    fn evict(&mut self) {
        if let Some((_, id)) = self.leaves.first().copied() {
            self.remove(id);
        }
    }

    /// Removes a leaf that nobody uses.
    fn remove(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(id.0 as usize).and_then(Option::take) else { return };
        self.leaves.remove(&(node.used, id));
        if !node.forgotten {
            self.index.remove(&(node.parent, node.tokens));
        }
        self.free.push(node.block);
        self.unused.push(id.0);
        self.idle -= 1;
        if let Parent::Node(above) = node.parent
            && let Some(parent) = self.node_mut(above)
        {
            parent.children -= 1;
            let (leaf, idle, used, forgotten) =
                (parent.children == 0, parent.users == 0, parent.used, parent.forgotten);
            if leaf && idle {
                self.leaves.insert((used, above));
                if forgotten {
                    self.remove(above);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A conversation of a test: its nodes, and blocks of its own.
    #[derive(Default)]
    struct Held {
        nodes: Vec<NodeId>,
        own: Vec<u32>,
    }

    /// Reads whole blocks of tokens; gives how many were known, or `None` without room.
    fn read(blocks: &mut Blocks, tenant: &str, tokens: &[u32], held: &mut Held) -> Option<usize> {
        let found = blocks.find(tenant, tokens);
        held.nodes.extend(found.iter().map(|(id, _)| *id));
        for tokens in tokens.as_chunks::<POSITIONS>().0.iter().skip(found.len()) {
            let block = blocks.allocate()?;
            let (id, _) = blocks.share(tenant, held.nodes.last().copied(), *tokens, block);
            held.nodes.push(id);
        }
        Some(found.len())
    }

    fn text(seed: u32, blocks: u32) -> Vec<u32> {
        (0..blocks * POSITIONS as u32).map(|at| at * 7 + seed).collect()
    }

    #[test]
    fn what_begins_alike_is_shared_within_a_tenant() {
        let mut blocks = Blocks::new(20);
        let mut all: Vec<Held> = (0..4).map(|_| Held::default()).collect();
        assert_eq!(read(&mut blocks, "a", &text(1, 3), &mut all[0]), Some(0));
        assert_eq!(read(&mut blocks, "a", &text(1, 5), &mut all[1]), Some(3));
        assert_eq!(read(&mut blocks, "b", &text(1, 3), &mut all[2]), Some(0));
        assert_eq!((blocks.held(), blocks.available()), (8, 12));
        for held in all.drain(..) {
            blocks.release(&held.nodes, &held.own);
        }
        assert_eq!((blocks.held(), blocks.available()), (8, 20));
        // Forgotten: what was there is gone, of one tenant alone.
        blocks.forget("a");
        assert_eq!(blocks.held(), 3);
        assert_eq!(blocks.find("a", &text(1, 3)), []);
        assert_eq!(blocks.find("b", &text(1, 3)).len(), 3);
    }

    #[test]
    fn what_was_used_longest_ago_goes_first_and_what_is_in_use_stays() {
        let mut blocks = Blocks::new(6);
        let (mut first, mut second) = (Held::default(), Held::default());
        read(&mut blocks, "a", &text(1, 2), &mut first);
        read(&mut blocks, "a", &text(2, 2), &mut second);
        blocks.release(&first.nodes, &[]);
        blocks.release(&second.nodes, &[]);
        // The first is used again, so the second goes.
        let again = blocks.find("a", &text(1, 2));
        blocks.release(&again.iter().map(|(id, _)| *id).collect::<Vec<_>>(), &[]);
        let mut third = Held::default();
        assert_eq!(read(&mut blocks, "a", &text(3, 4), &mut third), Some(0));
        assert_eq!(blocks.find("a", &text(2, 2)), []);
        let found: Vec<NodeId> = blocks.find("a", &text(1, 2)).iter().map(|(id, _)| *id).collect();
        assert_eq!((found.len(), blocks.available(), blocks.allocate()), (2, 0, None));
        blocks.release(&found, &[]);
        blocks.release(&third.nodes, &[]);
    }

    #[test]
    fn what_is_forgotten_while_it_is_used_goes_with_its_last_user() {
        let mut blocks = Blocks::new(6);
        let mut held = Held::default();
        read(&mut blocks, "a", &text(1, 2), &mut held);
        blocks.forget("a");
        assert_eq!((blocks.find("a", &text(1, 2)), blocks.held()), (Vec::new(), 2));
        // It reads on, and nobody finds that either.
        let block = blocks.allocate().unwrap();
        let more = *text(9, 1).as_chunks().0.first().unwrap();
        let (id, _) = blocks.share("a", held.nodes.last().copied(), more, block);
        held.nodes.push(id);
        blocks.release(&held.nodes, &[]);
        assert_eq!((blocks.held(), blocks.available()), (0, 6));
    }

    proptest! {
        #[test]
        fn no_block_is_lost_or_had_twice(
            acts in prop::collection::vec((0_u8..4, 0_u32..5, 1_u32..5, 0_usize..6), 1..120),
        ) {
            let total = 16;
            let mut blocks = Blocks::new(total);
            let mut held: Vec<Held> = Vec::new();
            for (act, seed, length, which) in acts {
                let tenant = ["a", "b"][(seed % 2) as usize];
                match act {
                    0 | 1 => {
                        let mut own = Held::default();
                        read(&mut blocks, tenant, &text(seed / 2, length), &mut own);
                        own.own.extend(blocks.allocate());
                        held.push(own);
                    }
                    2 if !held.is_empty() => {
                        let own = held.swap_remove(which % held.len());
                        blocks.release(&own.nodes, &own.own);
                    }
                    _ => blocks.forget(tenant),
                }
                // Blocks in use are different ones, and with those that can be had they are all.
                let mut used: BTreeSet<u32> = held.iter().flat_map(|own| own.own.clone()).collect();
                let private: usize = held.iter().map(|own| own.own.len()).sum();
                prop_assert_eq!(used.len(), private);
                let nodes: BTreeSet<NodeId> = held.iter().flat_map(|own| own.nodes.clone()).collect();
                for id in &nodes {
                    used.insert(blocks.node(*id).unwrap().block);
                }
                prop_assert_eq!(used.len(), private + nodes.len());
                prop_assert_eq!(used.len() + blocks.available(), total);
            }
            for own in held {
                blocks.release(&own.nodes, &own.own);
            }
            prop_assert_eq!(blocks.available(), total);
            let mut all = BTreeSet::new();
            while let Some(block) = blocks.allocate() {
                all.insert(block);
            }
            prop_assert_eq!(all.len(), total);
        }
    }
}

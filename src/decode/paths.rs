//! The pointers of a configuration as one tree, so that one pass over a record finds them all.

use std::ops::{BitAnd, BitOr, BitOrAssign};

/// What a pointer leads to; a set, for several may lead to the same value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Targets(u8);

impl Targets {
    pub(super) const NONE: Self = Self(0);
    pub(super) const FEATURES: Self = Self(1);
    pub(super) const NAMES: Self = Self(1 << 1);
    pub(super) const PREDICTION: Self = Self(1 << 2);
    pub(super) const TIME: Self = Self(1 << 3);
    pub(super) const ROWS: Self = Self(1 << 4);
    pub(super) const MODEL: Self = Self(1 << 5);
    pub(super) const FILTER: Self = Self(1 << 6);
    pub(super) const CONFIDENCE: Self = Self(1 << 7);

    /// How many single targets there are.
    pub(super) const COUNT: usize = 8;

    pub(super) fn has(self, target: Self) -> bool {
        (self & target) != Self::NONE
    }

    /// The positions of the single targets in the set, under `COUNT`.
    pub(super) fn positions(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let position = (left != 0).then(|| left.trailing_zeros() as usize);
            left &= left.wrapping_sub(1);
            position
        })
    }

    /// The position of a set of one.
    pub(super) fn position(self) -> usize {
        self.0.trailing_zeros() as usize
    }
}

impl BitAnd for Targets {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for Targets {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Targets {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// A tree of steps; node 0 is the root.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// The step that leads here.
    key: Box<str>,
    /// The step as an index of an array, if it can be one.
    index: Option<usize>,
    children: Vec<u32>,
    /// Bit `n` is set when a child's key has `n` bytes; bit 63 stands for all longer ones.
    lengths: u64,
    here: Targets,
    below: Targets,
}

impl Paths {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()] }
    }

    pub(super) fn insert(&mut self, steps: impl Iterator<Item = String>, target: Targets) {
        let mut at = 0;
        self.nodes[at].below |= target;
        for step in steps {
            at = match self.child(at, step.as_bytes()) {
                Some(child) => child as usize,
                None => self.grow(at, &step),
            };
            self.nodes[at].below |= target;
        }
        self.nodes[at].here |= target;
    }

    fn grow(&mut self, parent: usize, step: &str) -> usize {
        let child = self.nodes.len();
        // RFC 6901: no leading zeros.
        let canonical = step == "0" || !step.starts_with(['0', '+']);
        let index = if canonical { step.parse().ok() } else { None };
        self.nodes.push(Node { key: step.into(), index, ..Node::default() });
        let position = u32::try_from(child).expect("a configuration has few pointers");
        self.nodes[parent].children.push(position);
        self.nodes[parent].lengths |= 1 << step.len().min(63);
        child
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    #[inline(always)]
    pub(super) fn child(&self, parent: usize, key: &[u8]) -> Option<u32> {
        let node = &self.nodes[parent];
        if node.lengths >> key.len().min(63) & 1 == 0 {
            return None;
        }
        let is_it = |&child: &u32| self.nodes[child as usize].key.as_bytes() == key;
        node.children.iter().copied().find(is_it)
    }

    pub(super) fn child_at(&self, parent: usize, index: usize) -> Option<usize> {
        let children = &self.nodes[parent].children;
        let children = children.iter().map(|&child| child as usize);
        children.into_iter().find(|&child| self.nodes[child].index == Some(index))
    }

    pub(super) fn has_children(&self, node: usize) -> bool {
        !self.nodes[node].children.is_empty()
    }

    /// What the pointers that end at this node lead to.
    pub(super) fn here(&self, node: usize) -> Targets {
        self.nodes[node].here
    }

    /// What the pointers that end at this node or below lead to.
    pub(super) fn below(&self, node: usize) -> Targets {
        self.nodes[node].below
    }
}

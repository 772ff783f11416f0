//! The keys that an object had last time, so that they need not be looked up again.

use super::super::simd::{Portable, Simd, WINDOW, Window};

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A numeric feature, and its place among them.
    Number(u32, u32),
    /// A categorical feature.
    Text(u32),
    Skip,
    /// A node of the paths.
    Path(u32),
    /// A node of the paths that is a feature as well.
    Both(u32, u32),
}

/// The texts between the values of an object: from the end of one, or the opening brace, over the
/// comma and the key to the start of the next. Only a guess: what does not stand there byte for
/// byte is looked up by name.
#[derive(Debug, Default)]
pub(super) struct Order {
    steps: Vec<Step>,
    /// The step that should come next.
    next: usize,
    /// Guesses that failed in the present object.
    failed: usize,
    /// Objects for which nothing is guessed, because guesses failed.
    pause: u32,
    /// Keys that were looked up since the last `take_looked_up`.
    looked_up: u64,
}

// Aligned, so that its place is found by a shift and its windows lie in one line each.
#[derive(Clone, Debug)]
#[repr(align(128))]
struct Step {
    /// The text's first bytes, and which of the window's are the text's.
    head: Window,
    mask: Window,
    /// Its last bytes, if it is longer than a window.
    tail: Window,
    len: usize,
    action: Action,
}

/// Keys that the present object may lack in a row without losing its place.
const AHEAD: usize = 3;
/// After an object whose guesses mostly failed, so many are read without.
const PAUSE: u32 = 63;
/// Duplicate keys must not make it grow for ever.
const LONGEST: usize = 1 << 16;

impl Order {
    pub(super) fn begin(&mut self) {
        self.next = 0;
        self.failed = 0;
    }

    /// The length of the text that should come at `at`, if it is there, and what its key asks for.
    #[inline(always)]
    pub(super) fn guess<S: Simd>(
        &mut self,
        simd: S,
        text: &[u8],
        at: usize,
    ) -> Option<(usize, Action)> {
        let mut index = self.next;
        if !self.steps.get(index)?.is_at(simd, text, at) {
            index = self.guess_ahead(text, at)?;
        }
        self.next = index + 1;
        // By its place, for what a call gives back would go through memory, which every next step
        // would wait for.
        let step = &self.steps[index];
        Some((step.len, step.action))
    }

    /// The step that comes instead, where keys are left out.
    #[cold]
    #[inline(never)]
    fn guess_ahead(&self, text: &[u8], at: usize) -> Option<usize> {
        let mut ahead = self.next + 1..(self.next + 1 + AHEAD).min(self.steps.len());
        ahead.find(|&index| self.steps[index].is_at(Portable, text, at))
    }

    /// A key was looked up: `between` is what stands between the value before it and its own.
    #[inline(always)]
    pub(super) fn learn(&mut self, between: &[u8], action: Action) {
        self.looked_up += 1;
        if self.pause == 0 {
            self.keep(between, action);
        }
    }

    #[cold]
    fn keep(&mut self, between: &[u8], action: Action) {
        if self.next == self.steps.len()
            && self.next < LONGEST
            && let Some(step) = Step::new(between, action)
        {
            self.steps.push(step);
            self.next += 1;
            return;
        }
        self.failed += 1;
        // What begins with the brace can only come first.
        if self.next == 0 && self.steps.first().is_some_and(|step| step.head[0] == b'{') {
            self.next = 1;
        }
    }

    pub(super) fn end(&mut self) {
        if self.failed > self.steps.len() / 4 {
            self.steps.clear();
            self.pause = PAUSE;
        } else if self.pause > 0 {
            self.pause -= 1;
        }
    }

    /// Guesses nothing from now on, as far as anyone can count.
    pub(super) fn never_guess(&mut self) {
        self.steps.clear();
        self.pause = u32::MAX;
    }

    pub(super) fn take_looked_up(&mut self) -> u64 {
        std::mem::take(&mut self.looked_up)
    }
}

impl Step {
    /// `None` for a text that two windows do not cover.
    fn new(between: &[u8], action: Action) -> Option<Self> {
        let len = between.len();
        if len > 2 * WINDOW {
            return None;
        }
        let (mut head, mut mask, mut tail) = ([0; WINDOW], [0; WINDOW], [0; WINDOW]);
        let first = len.min(WINDOW);
        head[..first].copy_from_slice(&between[..first]);
        mask[..first].fill(0xFF);
        if let Some(last) = between.last_chunk() {
            tail = *last;
        }
        Some(Self { head, mask, tail, len, action })
    }

    #[inline(always)]
    fn is_at<S: Simd>(&self, simd: S, text: &[u8], at: usize) -> bool {
        match text.get(at..).and_then(|rest| rest.first_chunk()) {
            Some(window) => {
                simd.begins(window, &self.head, &self.mask)
                    && (self.len <= WINDOW || self.ends(text, at + self.len))
            }
            None => self.is_last(&text[at..]),
        }
    }

    #[inline(never)]
    fn ends(&self, text: &[u8], end: usize) -> bool {
        text.get(end - WINDOW..end).is_some_and(|last| last == self.tail)
    }

    /// The same where no whole window is left.
    #[inline(never)]
    fn is_last(&self, rest: &[u8]) -> bool {
        self.len <= WINDOW && rest.starts_with(&self.head[..self.len])
    }
}

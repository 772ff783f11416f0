//! The keys and values of one object: guessed by the order of the last one, else looked up by name.

use super::super::columns::{Columns, Place};
use super::super::scan::{Fault, MAX_DEPTH, Scanner, Text};
use super::super::simd::{Simd, Task};
use super::order::{Action, Order};
use super::walk::Walk;

/// Whether the keys of an object are features.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    No,
    Yes,
    /// Until `/features` is met.
    Flat,
}

/// An object to be read, whose brace is where the walk is.
struct Object<'w, 'a, S> {
    walk: &'w mut Walk<'a, S>,
    node: usize,
    scope: Scope,
    /// The containers that its values stand in.
    depth: u32,
    order: &'w mut Order,
}

impl<S: Simd> Task for Object<'_, '_, S> {
    type Output = Result<(), Fault>;

    #[inline(always)]
    fn run(self) -> Result<(), Fault> {
        let Self { walk, node, scope, depth, order } = self;
        let text = walk.scan.bytes();
        // Not in the walk, where every step would go through memory; see `Scanner::aside`.
        let mut at = walk.scan.at;
        let mut is_first = true;
        loop {
            let action = match order.guess(walk.simd, text, at) {
                Some((len, action)) => {
                    at += len;
                    action
                }
                None => {
                    let mut scan = walk.scan.moved(at);
                    if is_first {
                        scan.at += 1;
                    }
                    match scan.token() {
                        b'}' => {
                            at = scan.at;
                            break;
                        }
                        b',' if !is_first => scan.at += 1,
                        _ if is_first => {}
                        _ => return scan.malformed(),
                    }
                    if scan.token() != b'"' {
                        return scan.malformed();
                    }
                    let action = walk.key(&mut scan, node, scope)?;
                    order.learn(&text[at..scan.at], action);
                    at = scan.at;
                    action
                }
            };
            at = walk.take(at, action, scope, depth)?;
            is_first = false;
        }
        walk.scan.at = at + 1;
        Ok(())
    }
}

impl<'a, S: Simd> Walk<'a, S> {
    /// Reads the object here, which `node` of the paths leads to.
    pub(super) fn object(&mut self, node: usize, scope: Scope, depth: u32) -> Result<(), Fault> {
        if depth >= MAX_DEPTH {
            return Err(Fault::TooDeep);
        }
        let mut order = std::mem::take(&mut self.found.orders[node]);
        order.begin();
        let simd = self.simd;
        let object = Object { walk: self, node, scope, depth: depth + 1, order: &mut order };
        let done = simd.run(object);
        order.end();
        self.found.orders[node] = order;
        done
    }

    /// Takes the key here, the colon and what is before the value.
    #[inline(always)]
    fn key(&mut self, scan: &mut Scanner<'a>, node: usize, scope: Scope) -> Result<Action, Fault> {
        let window = if scope == Scope::No { None } else { scan.after() };
        let (feature, child) =
            match window.and_then(|window| self.schema.names.get_short(self.simd, window)) {
                Some((feature, len)) => {
                    let start = scan.at + 1;
                    scan.at = start + len + 1;
                    (Some(feature), self.paths.child(node, &scan.bytes()[start..start + len]))
                }
                None => {
                    self.scan.at = scan.at;
                    let found = self.long_key(node, scope)?;
                    scan.at = self.scan.at;
                    found
                }
            };
        scan.expect(b':')?;
        scan.token();
        Ok(match (feature, child) {
            (None, Some(child)) => Action::Path(child),
            (Some(feature), Some(child)) => Action::Both(child, feature),
            (Some(feature), None) => match self.schema.places[feature as usize] {
                Place::Number(place) => Action::Number(feature, place),
                Place::Text(_) => Action::Text(feature),
            },
            (None, None) => Action::Skip,
        })
    }

    /// The feature and the node that a key of any length and spelling leads to.
    #[inline(never)]
    fn long_key(&mut self, node: usize, scope: Scope) -> Result<(Option<u32>, Option<u32>), Fault> {
        self.found.key.clear();
        let key = match self.scan.string(&mut self.found.key)? {
            Text::Plain(start, end) => &self.scan.bytes()[start..end],
            Text::Unescaped => self.found.key.as_bytes(),
        };
        let feature = if scope == Scope::No { None } else { self.schema.names.get(key) };
        Ok((feature, self.paths.child(node, key)))
    }

    /// Takes the value at `at`, whose key asked for `action`, and gives where it ends.
    #[inline(always)]
    fn take(
        &mut self,
        at: usize,
        action: Action,
        scope: Scope,
        depth: u32,
    ) -> Result<usize, Fault> {
        let text = self.scan.bytes();
        match action {
            Action::Number(feature, place) if !self.is_overruled(scope) => {
                if let Some(window) = text.get(at..).and_then(|rest| rest.first_chunk())
                    && let Some(number) = self.simd.number(window)
                    && window[number.len] | 0x20 != b'e'
                {
                    let row = &mut self.found.row;
                    if self.columns.set_number(row, feature, place, number.value()) {
                        self.found.duplicate = true;
                    }
                    return Ok(at + number.len);
                }
                self.take_any(at, feature, depth)
            }
            Action::Text(feature) if !self.is_overruled(scope) => {
                if let Some(end) = self.end_of_short(text, at) {
                    if Columns::set_plain(&mut self.found.row, feature, at + 1, end) {
                        self.found.duplicate = true;
                    }
                    return Ok(end + 1);
                }
                self.take_any(at, feature, depth)
            }
            Action::Number(..) | Action::Text(_) | Action::Skip => {
                match self.end_of_short(text, at) {
                    Some(end) => Ok(end + 1),
                    None => self.skip_any(at, depth),
                }
            }
            Action::Path(child) => self.take_path(at, child, depth),
            Action::Both(child, feature) => {
                let end = self.take_path(at, child, depth)?;
                // The first may have found that the features are elsewhere.
                if self.is_overruled(scope) { Ok(end) } else { self.take_any(at, feature, depth) }
            }
        }
    }

    /// Whether what looks like a feature is none, for the features are in an object of their own.
    #[inline(always)]
    fn is_overruled(&self, scope: Scope) -> bool {
        scope == Scope::Flat && self.found.nested
    }

    /// Where the string at `at` has its closing quote, if it is written as it is and ends within a
    /// window.
    #[inline(always)]
    fn end_of_short(&self, text: &[u8], at: usize) -> Option<usize> {
        let (quote, rest) = text.get(at..)?.split_first()?;
        let window = rest.first_chunk()?;
        let end = self.simd.specials(window).trailing_zeros() as usize;
        let is_short = *quote == b'"' && window.get(end) == Some(&b'"');
        is_short.then_some(at + 1 + end)
    }

    // What is seldom needed stays out of the loop: it would take the loop's registers.

    #[inline(never)]
    fn take_any(&mut self, at: usize, feature: u32, depth: u32) -> Result<usize, Fault> {
        self.scan.at = at;
        self.feature(feature, depth)?;
        Ok(self.scan.at)
    }

    #[inline(never)]
    fn skip_any(&mut self, at: usize, depth: u32) -> Result<usize, Fault> {
        self.scan.at = at;
        self.scan.skip(depth)?;
        Ok(self.scan.at)
    }

    #[inline(never)]
    fn take_path(&mut self, at: usize, child: u32, depth: u32) -> Result<usize, Fault> {
        self.scan.at = at;
        self.value(child as usize, depth)?;
        Ok(self.scan.at)
    }
}

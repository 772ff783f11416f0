//! One pass over one record: features into slots, everything else that is wanted by where it starts.

use crate::feature::{Feature, Kind, Role, canonical_boolean, canonical_integer, canonical_number};

use super::super::columns::{Columns, Place, Slot};
use super::super::names::Names;
use super::super::number::Decimal;
use super::super::paths::{Paths, Targets};
use super::super::scan::{Fault, MAX_DEPTH, Number, Scanner, Text};
use super::super::simd::Simd;
use super::found::Found;
use super::object::Scope;

/// Where outputs of the model stand, and what they are.
pub(super) const OUTPUTS: [(Targets, Role); 2] =
    [(Targets::PREDICTION, Role::Prediction), (Targets::CONFIDENCE, Role::Confidence)];

const NO_OUTPUT: [Option<u32>; OUTPUTS.len()] = [None; OUTPUTS.len()];

/// What the features of a model are, for one pass.
#[derive(Debug)]
pub(super) struct Schema {
    /// Feature names to their index.
    pub(super) names: Names,
    pub(super) features: Vec<Feature>,
    pub(super) places: Vec<Place>,
    /// The features that pointers to outputs give their values.
    pub(super) outputs: [Option<u32>; OUTPUTS.len()],
    /// Features are at `/features` if there, else in the record (or row) itself.
    pub(super) flat_unless_nested: bool,
}

pub(super) struct Walk<'a, S> {
    pub(super) simd: S,
    pub(super) scan: Scanner<'a>,
    pub(super) schema: &'a Schema,
    pub(super) paths: &'a Paths,
    pub(super) found: &'a mut Found,
    /// Where the numbers of the present row go.
    pub(super) columns: &'a mut Columns,
}

impl<'a, S: Simd> Walk<'a, S> {
    /// Reads the value here, which `node` of the paths leads to and which stands in `depth`
    /// containers. Recursion ends where the pointers end, and at `MAX_DEPTH`.
    pub(super) fn value(&mut self, node: usize, depth: u32) -> Result<(), Fault> {
        if self.found.met[node] {
            self.found.forget(self.paths.below(node));
        }
        self.found.met[node] = true;
        let here = self.paths.here(node);
        let token = self.scan.token();
        let start = self.scan.at;
        let nested = here.has(Targets::FEATURES) && matches!(token, b'{' | b'[');
        if nested {
            self.found.nested = true;
            self.found.row.clear();
        }
        let outputs = self.outputs(here);
        match token {
            b'{' => {
                let flat = node == 0 && self.schema.flat_unless_nested;
                let scope = match (nested, flat) {
                    (true, _) => Scope::Yes,
                    (false, true) => Scope::Flat,
                    (false, false) => Scope::No,
                };
                self.object(node, scope, depth)?;
            }
            b'[' if self.paths.has_children(node) => self.array(node, depth)?,
            _ if outputs == NO_OUTPUT => self.scan.skip(depth)?,
            _ => {
                // Two pointers may lead here, to features that are read differently.
                for (at, feature) in outputs.into_iter().enumerate() {
                    if let Some(feature) = feature {
                        self.scan.at = start;
                        self.found.outputs[at] = self.slot(feature, depth)?;
                    }
                }
            }
        }
        if matches!(token, b'{' | b'[') {
            for (output, feature) in self.found.outputs.iter_mut().zip(outputs) {
                *output = feature.map_or(*output, |_| Slot::TypeError);
            }
        }
        for position in here.positions() {
            self.found.starts[position] = Some(start);
        }
        Ok(())
    }

    /// The features that the value here is for, as an output.
    #[inline]
    fn outputs(&self, here: Targets) -> [Option<u32>; OUTPUTS.len()] {
        let mut outputs = self.schema.outputs;
        for ((target, _), output) in OUTPUTS.iter().zip(&mut outputs) {
            *output = output.filter(|_| here.has(*target));
        }
        outputs
    }

    /// The same walk, for a function that ends it.
    pub(super) fn again(&mut self) -> Walk<'_, S> {
        Walk { found: self.found, columns: self.columns, ..*self }
    }

    fn array(&mut self, node: usize, depth: u32) -> Result<(), Fault> {
        let paths = self.paths;
        self.elements(depth, |walk, index| match paths.child_at(node, index) {
            Some(child) => walk.value(child, depth + 1),
            None => walk.scan.skip(depth + 1),
        })
    }

    /// Reads the array here as a row: element `i` is the feature `features[i]`.
    pub(super) fn positional(&mut self, features: &[Option<u32>], depth: u32) -> Result<(), Fault> {
        self.elements(depth, |walk, index| match features.get(index) {
            Some(&Some(feature)) => walk.feature(feature, depth + 1),
            Some(None) | None => walk.scan.skip(depth + 1),
        })
    }

    /// Calls `each` at the start of every element of the array here; it must take the element.
    pub(super) fn elements(
        &mut self,
        depth: u32,
        mut each: impl FnMut(&mut Self, usize) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if depth >= MAX_DEPTH {
            return Err(Fault::TooDeep);
        }
        self.scan.expect(b'[')?;
        if self.scan.token() == b']' {
            self.scan.at += 1;
            return Ok(());
        }
        let mut index = 0;
        loop {
            self.scan.token();
            each(self, index)?;
            index += 1;
            match self.scan.token() {
                b',' => self.scan.at += 1,
                b']' => {
                    self.scan.at += 1;
                    return Ok(());
                }
                _ => return self.scan.malformed(),
            }
        }
    }

    /// The value here as one of `feature`, into its row.
    pub(super) fn feature(&mut self, feature: u32, depth: u32) -> Result<(), Fault> {
        let slot = self.slot(feature, depth)?;
        let twice = self.columns.set(&mut self.found.row, feature, slot);
        self.found.duplicate |= twice;
        Ok(())
    }

    /// The value here as one of `feature`.
    #[inline(never)]
    pub(super) fn slot(&mut self, feature: u32, depth: u32) -> Result<Slot, Fault> {
        let Feature { kind, boolean, .. } = self.schema.features[feature as usize];
        match self.scan.token() {
            b'-' | b'0'..=b'9' | b'N' | b'I' => {
                let number = self.scan.number()?;
                Ok(match kind {
                    Kind::Numeric => self.number(number),
                    Kind::Categorical => self.number_as_category(number),
                })
            }
            b'"' => {
                let start = self.found.scratch.len();
                let text = self.scan.string(&mut self.found.scratch)?;
                Ok(match (kind, text) {
                    (Kind::Numeric, _) => Slot::TypeError,
                    (Kind::Categorical, Text::Plain(start, end)) => Slot::plain(start, end),
                    (Kind::Categorical, Text::Unescaped) => {
                        Slot::scratch(start, self.found.scratch.len())
                    }
                })
            }
            b't' => self.scan.word("true").map(|()| self.boolean(true, kind, boolean)),
            b'f' => self.scan.word("false").map(|()| self.boolean(false, kind, boolean)),
            b'n' => self.scan.word("null").map(|()| Slot::Null),
            _ => self.scan.skip(depth).map(|()| Slot::TypeError),
        }
    }

    #[inline(always)]
    fn number(&mut self, number: Number<'_>) -> Slot {
        match number {
            Number::Decimal(decimal) => {
                self.found.imprecise += u64::from(decimal.imprecise());
                Slot::Number(decimal.value())
            }
            Number::Special(special) => Slot::Number(special),
        }
    }

    fn number_as_category(&mut self, number: Number<'_>) -> Slot {
        let start = self.found.scratch.len();
        match number {
            Number::Decimal(decimal) if write_canonical(&decimal, &mut self.found.scratch) => {
                Slot::scratch(start, self.found.scratch.len())
            }
            // What pandas, too, calls missing.
            Number::Special(special) if special.is_nan() => Slot::Null,
            Number::Decimal(_) | Number::Special(_) => Slot::TypeError,
        }
    }

    /// A boolean is a number only where the reference has no numbers but 0 and 1.
    fn boolean(&mut self, value: bool, kind: Kind, is_boolean: bool) -> Slot {
        match kind {
            Kind::Numeric if is_boolean => Slot::Number(if value { 1.0 } else { 0.0 }),
            Kind::Numeric => Slot::TypeError,
            Kind::Categorical => {
                let start = self.found.scratch.len();
                self.found.scratch.push_str(canonical_boolean(value));
                Slot::scratch(start, self.found.scratch.len())
            }
        }
    }
}

/// Appends the canonical string of a number; false when it is beyond every double.
pub(super) fn write_canonical(decimal: &Decimal<'_>, out: &mut String) -> bool {
    if let Some(integer) = decimal.integer() {
        canonical_integer(integer, out);
        return true;
    }
    let value = decimal.value();
    if value.is_finite() {
        canonical_number(value, out);
    }
    value.is_finite()
}

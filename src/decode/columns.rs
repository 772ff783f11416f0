//! One row's values, and the columns that rows are written to.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBufferBuilder};
use arrow::buffer::NullBuffer;

use crate::feature::{Absent, Column, Feature, Kind};

mod numbers;
mod texts;

use numbers::Numbers;
use texts::Texts;

/// A feature's value in the row that is being read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Slot {
    #[default]
    Missing,
    Null,
    TypeError,
    Number(f64),
    /// Bytes of the record.
    Plain(u32, u32),
    /// Bytes of the row's scratch text.
    Scratch(u32, u32),
}

impl Slot {
    /// Bytes of the record.
    #[inline]
    pub(super) fn plain(start: usize, end: usize) -> Self {
        Self::Plain(short(start), short(end))
    }

    /// Bytes of the row's scratch text.
    #[inline]
    pub(super) fn scratch(start: usize, end: usize) -> Self {
        Self::Scratch(short(start), short(end))
    }

    pub(super) fn is_missing(self) -> bool {
        matches!(self, Slot::Missing)
    }
}

#[inline]
fn short(position: usize) -> u32 {
    u32::try_from(position).expect("a batch and its scratch text are under 4 GiB")
}

/// Where a feature's values go: a position among the columns of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Number(u32),
    Text(u32),
}

impl Place {
    /// The places of `features`.
    pub(super) fn all(features: &[Feature]) -> Vec<Self> {
        let (mut numbers, mut texts) = (0.., 0..);
        let place = |feature: &Feature| match feature.kind {
            Kind::Numeric => numbers.next().map(Self::Number),
            Kind::Categorical => texts.next().map(Self::Text),
        };
        features.iter().map_while(place).collect()
    }
}

/// What a row has beside its numbers, which are in the columns already.
#[derive(Debug)]
pub(super) struct Row {
    /// What each feature has.
    states: Vec<State>,
    /// Values that are no numbers, by feature; meaningful only where the state says so.
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum State {
    Missing,
    /// A number in its column, or a categorical feature's slot.
    Usual,
    /// A numeric feature's slot.
    Odd,
}

impl Row {
    pub(super) fn new(features: usize) -> Self {
        Self { states: vec![State::Missing; features], slots: vec![Slot::Missing; features] }
    }

    #[inline(always)]
    pub(super) fn clear(&mut self) {
        self.states.fill(State::Missing);
    }

    /// Whether some feature is missing.
    pub(super) fn lacks(&self) -> bool {
        self.states.contains(&State::Missing)
    }

    /// Whether every feature is missing.
    pub(super) fn is_bare(&self) -> bool {
        self.states.iter().all(|state| *state == State::Missing)
    }

    /// Notes that `feature` has a value; true if it had one before.
    #[inline(always)]
    fn note(&mut self, feature: u32, state: State) -> bool {
        std::mem::replace(&mut self.states[feature as usize], state) != State::Missing
    }
}

/// Columns under construction, one per feature.
#[derive(Debug)]
pub(super) struct Columns {
    places: Vec<Place>,
    numbers: Numbers,
    texts: Vec<Texts>,
    /// Rows without a value, by feature.
    gaps: Vec<Gaps>,
    /// Categorical features, in the order of `texts`.
    categorical: Vec<u32>,
    rows: u32,
}

#[derive(Debug, Default)]
struct Gaps {
    /// Rows in which a numeric feature has no number.
    nulls: Vec<u32>,
    absent: Vec<(u32, Absent)>,
}

impl Columns {
    pub(super) fn new(features: &[Feature]) -> Self {
        let places = Place::all(features);
        let is_text = |place: &Place| matches!(place, Place::Text(_));
        let categorical: Vec<u32> =
            (0..).zip(&places).filter(|(_, place)| is_text(place)).map(|(i, _)| i).collect();
        Self {
            numbers: Numbers::new(features.len() - categorical.len()),
            texts: categorical.iter().map(|_| Texts::new()).collect(),
            gaps: features.iter().map(|_| Gaps::default()).collect(),
            categorical,
            places,
            rows: 0,
        }
    }

    /// Writes a numeric feature's value in the row that is being read; true if it had one before.
    #[inline(always)]
    pub(super) fn set_number(
        &mut self,
        row: &mut Row,
        feature: u32,
        place: u32,
        number: f64,
    ) -> bool {
        self.numbers.set(place, self.rows, number);
        row.note(feature, State::Usual)
    }

    /// Notes a categorical feature's value in the row that is being read, as bytes of the record;
    /// true if it had one before.
    #[inline(always)]
    pub(super) fn set_plain(row: &mut Row, feature: u32, start: usize, end: usize) -> bool {
        row.slots[feature as usize] = Slot::plain(start, end);
        row.note(feature, State::Usual)
    }

    /// Notes any value; true if there was one before.
    pub(super) fn set(&mut self, row: &mut Row, feature: u32, slot: Slot) -> bool {
        match (slot, self.places[feature as usize]) {
            (Slot::Number(number), Place::Number(place)) => {
                self.set_number(row, feature, place, number)
            }
            (_, place) => {
                row.slots[feature as usize] = slot;
                let odd = matches!(place, Place::Number(_));
                row.note(feature, if odd { State::Odd } else { State::Usual })
            }
        }
    }

    /// Ends a row; plain text lies in `record`, unescaped and canonical text in `scratch`.
    pub(super) fn push(&mut self, row: &Row, record: &str, scratch: &str) {
        for (text, &feature) in self.texts.iter_mut().zip(&self.categorical) {
            let state = row.states[feature as usize];
            let absent = match row.slots[feature as usize] {
                _ if state == State::Missing => Some(Absent::Missing),
                Slot::Plain(start, end) => {
                    text.push(record, start, end);
                    continue;
                }
                Slot::Scratch(start, end) => {
                    text.push(scratch, start, end);
                    continue;
                }
                Slot::Null => None,
                // A number is never noted for a categorical feature.
                Slot::Missing | Slot::TypeError | Slot::Number(_) => Some(Absent::TypeError),
            };
            text.push_null(self.rows);
            self.gaps[feature as usize].absent.extend(absent.map(|absent| (self.rows, absent)));
        }
        // Most rows have all.
        if row.states.iter().any(|&state| state != State::Usual) {
            self.gaps(row);
        }
        self.rows += 1;
        self.numbers.reserve(self.rows as usize);
    }

    /// Notes the numeric features that have no number in the row that ends.
    #[cold]
    fn gaps(&mut self, row: &Row) {
        for (feature, &state) in row.states.iter().enumerate() {
            let Place::Number(place) = self.places[feature] else { continue };
            let absent = match (state, row.slots[feature]) {
                (State::Usual, _) => continue,
                (State::Missing, _) => Some(Absent::Missing),
                (State::Odd, Slot::Null) => None,
                (State::Odd, _) => Some(Absent::TypeError),
            };
            self.numbers.set(place, self.rows, 0.0);
            self.gaps[feature].nulls.push(self.rows);
            self.gaps[feature].absent.extend(absent.map(|absent| (self.rows, absent)));
        }
    }

    /// The columns so far; afterwards there are none.
    pub(super) fn finish(&mut self) -> Vec<Column> {
        let rows = std::mem::take(&mut self.rows) as usize;
        let numeric = self.places.iter().zip(&mut self.gaps);
        let numeric = numeric.filter(|(place, _)| matches!(place, Place::Number(_)));
        let nulls = numeric.map(|(_, gaps)| nulls(rows, &std::mem::take(&mut gaps.nulls)));
        let mut numbers = self.numbers.finish(rows, nulls).into_iter();
        let mut texts = self.texts.iter_mut();
        let array = |place: &Place| -> Option<ArrayRef> {
            Some(match place {
                Place::Number(_) => Arc::new(numbers.next()?),
                Place::Text(_) => Arc::new(texts.next()?.finish()),
            })
        };
        let arrays = self.places.iter().map_while(array);
        let absent = self.gaps.iter_mut().map(|gaps| std::mem::take(&mut gaps.absent));
        arrays.zip(absent).map(|(array, absent)| Column { array, absent }).collect()
    }
}

fn nulls(rows: usize, nulls: &[u32]) -> Option<NullBuffer> {
    if nulls.is_empty() {
        return None;
    }
    let mut valid = BooleanBufferBuilder::new(rows);
    valid.append_n(rows, true);
    for &row in nulls {
        valid.set_bit(row as usize, false);
    }
    Some(NullBuffer::new(valid.finish()))
}

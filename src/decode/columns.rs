//! One row's values, and the columns that rows are appended to.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, NullBufferBuilder, StringBuilder};

use crate::feature::{Absent, Column, Feature, Kind};

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

/// A position in a record or its scratch text; a batch is at most 256 MiB.
#[inline]
fn short(position: usize) -> u32 {
    u32::try_from(position).expect("a batch and its scratch text are under 4 GiB")
}

/// Columns under construction, one per feature.
#[derive(Debug)]
pub(super) struct Columns {
    columns: Vec<Building>,
    rows: u32,
}

#[derive(Debug)]
struct Building {
    values: Values,
    absent: Vec<(u32, Absent)>,
}

#[derive(Debug)]
enum Values {
    Numeric { numbers: Vec<f64>, nulls: NullBufferBuilder },
    Categorical(StringBuilder),
}

impl Values {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Numeric => {
                Self::Numeric { numbers: Vec::new(), nulls: NullBufferBuilder::new(0) }
            }
            Kind::Categorical => Self::Categorical(StringBuilder::new()),
        }
    }

    #[inline]
    fn push_null(&mut self) {
        match self {
            Self::Numeric { numbers, nulls } => {
                numbers.push(0.0);
                nulls.append_null();
            }
            Self::Categorical(strings) => strings.append_null(),
        }
    }

    /// The array so far; the next one will be about as large.
    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Numeric { numbers, nulls } => {
                let next = Vec::with_capacity(numbers.len());
                let numbers = std::mem::replace(numbers, next);
                Arc::new(Float64Array::new(numbers.into(), nulls.finish()))
            }
            Self::Categorical(strings) => Arc::new(strings.finish()),
        }
    }
}

impl Columns {
    pub(super) fn new(features: &[Feature]) -> Self {
        let empty = |f: &Feature| Building { values: Values::of(f.kind), absent: Vec::new() };
        Self { columns: features.iter().map(empty).collect(), rows: 0 }
    }

    /// Appends a row; plain text lies in `record`, unescaped and canonical text in `scratch`.
    pub(super) fn push(&mut self, slots: &[Slot], record: &str, scratch: &str) {
        for (column, slot) in self.columns.iter_mut().zip(slots) {
            match (*slot, &mut column.values) {
                (Slot::Number(number), Values::Numeric { numbers, nulls }) => {
                    numbers.push(number);
                    nulls.append_non_null();
                }
                (Slot::Plain(start, end), Values::Categorical(strings)) => {
                    strings.append_value(&record[start as usize..end as usize]);
                }
                (Slot::Scratch(start, end), Values::Categorical(strings)) => {
                    strings.append_value(&scratch[start as usize..end as usize]);
                }
                (Slot::Null, values) => values.push_null(),
                (Slot::Missing, values) => {
                    values.push_null();
                    column.absent.push((self.rows, Absent::Missing));
                }
                // A number is never put into a categorical slot, nor text into a numeric one.
                (
                    Slot::TypeError | Slot::Number(_) | Slot::Plain(..) | Slot::Scratch(..),
                    values,
                ) => {
                    values.push_null();
                    column.absent.push((self.rows, Absent::TypeError));
                }
            }
        }
        self.rows += 1;
    }

    /// The columns so far; afterwards there are none.
    pub(super) fn finish(&mut self) -> Vec<Column> {
        self.rows = 0;
        let finish = |column: &mut Building| Column {
            array: column.values.finish(),
            absent: std::mem::take(&mut column.absent),
        };
        self.columns.iter_mut().map(finish).collect()
    }
}

//! Values into categories: the kernel against a map from canonical string to cell.
//!
//! Input: what the reference stores, the categories, those of the rest, the column's type, then its values.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int16Array, Int32Array,
    Int64Array, LargeStringArray, StringArray, StringViewArray, TimestampSecondArray,
};
use arrow::datatypes::{Int16Type, Int32Type};
use driftd::feature::{Absent, Column, canonical_number};
use driftd::histogram::{CategoricalCells, Cells, Counts, Storage, categorical, count};

use super::input::Input;

const MAX_ROWS: usize = 600;

/// Counts a column whole, in two parts, and by the plain definition.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let of = input.byte();
    let (boolean, numbers) = (of & 1 == 1, stores(of));
    let (mut listed, mut rest) = (Vec::new(), Vec::new());
    for _ in 0..input.byte() {
        let mut text = text(&mut input);
        if let Some(storage) = numbers {
            // A column of numbers has no other categories, each by one name.
            let Some(number) = number(&text, storage) else { continue };
            text.clear();
            canonical_number(categorical::written(storage, number), &mut text);
        }
        if input.bit() && !listed.contains(&text) {
            listed.push(text);
        } else if !rest.contains(&text) {
            rest.push(text);
        }
    }
    if boolean {
        listed = vec!["true".to_owned(), "false".to_owned()];
    }
    rest.retain(|text| !listed.contains(text));
    let known = listed.iter().cloned().zip(0..);
    let known: BTreeMap<String, usize> =
        known.chain(rest.iter().cloned().map(|text| (text, listed.len()))).collect();
    let mut hashes: Vec<u64> = rest.iter().map(|text| categorical::hash(text)).collect();
    hashes.sort_unstable();
    let n_cells = listed.len() + 1;
    let cells = CategoricalCells::new(listed, hashes, boolean).with_numbers(numbers);
    let cells = Cells::Categorical(cells);
    let (column, values) = column(&mut input);
    let reference = Reference { known, n_cells, boolean, numbers };
    let expected = reference.plain(&column, &values);
    let rows = column.array.len();
    for cut in [rows, input.below(rows + 1)] {
        let mut counts = Counts::zero(n_cells);
        for (from, to) in [(0, cut), (cut, rows)] {
            let within =
                column.absent.iter().filter(|(row, _)| (from..to).contains(&(*row as usize)));
            let start = u32::try_from(from).expect("few rows");
            let absent = within.map(|(row, why)| (row - start, *why)).collect();
            let part = Column { array: column.array.slice(from, to - from), absent };
            count(&cells, &part, &mut counts);
        }
        assert_eq!(counts, expected, "cut at {cut}: {:?} of {cells:?}", column.array);
    }
}

/// Short and often the same; now and then long, or what a number or a boolean is written as.
fn text(input: &mut Input<'_>) -> String {
    const WORDS: [&str; 16] = [
        "",
        "0",
        "1",
        "true",
        "false",
        "-1",
        "0.5",
        "1e300",
        "a",
        "b",
        "é",
        "a b",
        "NaN",
        "inf",
        "12",
        "000000000000",
    ];
    match input.byte() {
        tag @ 0..64 => WORDS[usize::from(tag % 16)].to_owned(),
        tag @ 64..96 => format!("k{}", tag % 32),
        tag @ 96..128 => {
            const NUMBERS: [&str; 8] = [
                "0.1",
                "0.10",
                "0.10000000149011612",
                "0.0999755859375",
                "1.0",
                "1e0",
                "9007199254740993",
                "-0.0",
            ];
            NUMBERS[usize::from(tag % 8)].to_owned()
        }
        tag @ 128..192 => "abcdefgh".repeat(usize::from(tag % 16)) + &input.byte().to_string(),
        _ => String::from_utf8_lossy(&input.array::<4>()).into_owned(),
    }
}

/// One value as the definition sees it.
#[derive(Clone, Debug)]
enum Value {
    Text(String),
    /// Not finite.
    Odd(f64),
    /// Of a type that is no category.
    Wrong,
}

fn of_number(number: f64) -> Value {
    if !number.is_finite() {
        return Value::Odd(number);
    }
    let mut text = String::new();
    canonical_number(number, &mut text);
    Value::Text(text)
}

fn column(input: &mut Input<'_>) -> (Column, Vec<Option<Value>>) {
    let (kind, odd, repeat) = (input.byte(), input.byte(), 1 + usize::from(input.byte()) % 8);
    let nothing = |input: &mut Input<'_>| odd & 1 == 1 && input.byte().is_multiple_of(5);
    let (array, values): (ArrayRef, Vec<Option<Value>>) = if kind % 2 == 0 {
        let mut texts = Vec::new();
        while !input.is_empty() && texts.len() < MAX_ROWS {
            texts.push((!nothing(input)).then(|| text(input)));
        }
        let texts: Vec<_> = (0..repeat).flat_map(|_| texts.clone()).collect();
        of_texts(kind / 2, &texts)
    } else {
        let mut numbers = Vec::new();
        while !input.is_empty() && numbers.len() < MAX_ROWS {
            numbers.push((!nothing(input)).then(|| input.number(&[])));
        }
        of_numbers(kind / 2, &numbers.repeat(repeat))
    };
    let mut absent = Vec::new();
    for (row, value) in (0u32..).zip(&values) {
        if value.is_none() && odd & 2 == 2 && row % 3 < 2 {
            absent.push((row, if row % 2 == 0 { Absent::Missing } else { Absent::TypeError }));
        }
    }
    (Column { array, absent }, values)
}

fn of_texts(kind: u8, texts: &[Option<String>]) -> (ArrayRef, Vec<Option<Value>>) {
    let read =
        |texts: &[Option<String>]| texts.iter().cloned().map(|t| t.map(Value::Text)).collect();
    let array: ArrayRef = match kind % 6 {
        0 => Arc::new(LargeStringArray::from(texts.to_vec())),
        1 => Arc::new(StringViewArray::from_iter(texts.iter().map(Option::as_deref))),
        2 => Arc::new(texts.iter().map(Option::as_deref).collect::<DictionaryArray<Int32Type>>()),
        3 => {
            // A dictionary that has values twice, a null among them, and keys of no order.
            let n = texts.len().min(300);
            let keys: Int16Array = (0..texts.len())
                .map(|row| i16::try_from(row * 7 % n.max(1)).ok().filter(|_| row % 13 != 12))
                .collect();
            let read = keys.iter().map(|key| texts[usize::try_from(key?).ok()?].clone());
            let read = read.map(|text| text.map(Value::Text)).collect();
            let values = Arc::new(StringArray::from(texts[..n].to_vec()));
            return (Arc::new(DictionaryArray::<Int16Type>::new(keys, values)), read);
        }
        _ => Arc::new(StringArray::from(texts.to_vec())),
    };
    (array, read(texts))
}

#[expect(clippy::cast_possible_truncation, reason = "any number of the type will do")]
fn of_numbers(kind: u8, numbers: &[Option<f64>]) -> (ArrayRef, Vec<Option<Value>>) {
    macro_rules! of {
        ($array:ty, $make:expr, $read:expr) => {{
            let made: Vec<_> = numbers.iter().map(|number| number.map($make)).collect();
            let read = made.iter().map(|number| number.map($read)).collect();
            (Arc::new(<$array>::from(made)) as ArrayRef, read)
        }};
    }
    match kind % 6 {
        0 => of!(Int64Array, |x| x as i64, |x| Value::Text(x.to_string())),
        1 => of!(BooleanArray, |x| x > 0.0, |x| Value::Text(x.to_string())),
        2 => of!(Int32Array, |x| x as i32, |x| Value::Text(x.to_string())),
        3 => of!(TimestampSecondArray, |x| x as i64, |_| Value::Wrong),
        _ => of!(Float64Array, |x| x, of_number),
    }
}

/// What the reference column stores, if it is one of numbers.
fn stores(of: u8) -> Option<Storage> {
    [None, Some(Storage::F64), Some(Storage::F32), Some(Storage::F16)][usize::from(of >> 1) % 4]
        .filter(|_| of & 1 == 0)
}

/// The number that the column stores for a text.
fn number(text: &str, storage: Storage) -> Option<f64> {
    let stored = storage.round(text.parse().ok()?);
    stored.is_finite().then_some(stored)
}

/// The categories by the plain definition: names, and where they are numbers what is stored for them.
struct Reference {
    known: BTreeMap<String, usize>,
    n_cells: usize,
    boolean: bool,
    numbers: Option<Storage>,
}

impl Reference {
    fn plain(&self, column: &Column, values: &[Option<Value>]) -> Counts {
        let mut counts = Counts::zero(self.n_cells);
        for (_, why) in &column.absent {
            match why {
                Absent::Missing => counts.missing += 1,
                Absent::TypeError => counts.type_error += 1,
            }
        }
        let nulls = values.iter().filter(|value| value.is_none()).count();
        counts.null = (nulls - column.absent.len()) as u64;
        for value in values.iter().flatten() {
            match value {
                Value::Wrong => counts.type_error += 1,
                Value::Odd(number) if number.is_nan() => counts.nan += 1,
                Value::Odd(number) if *number > 0.0 => counts.pos_inf += 1,
                Value::Odd(_) => counts.neg_inf += 1,
                Value::Text(text) => match self.cell(text) {
                    Some(cell) => counts.cells[cell] += 1,
                    None => counts.unseen += 1,
                },
            }
        }
        counts
    }

    fn cell(&self, text: &str) -> Option<usize> {
        let text = match text {
            "1" if self.boolean => "true",
            "0" if self.boolean => "false",
            text => text,
        };
        self.known
            .get(text)
            .or_else(|| self.as_written(text))
            .or_else(|| self.as_stored(text))
            .copied()
    }

    /// The cell of a boolean where all that is known is how somebody writes booleans.
    fn as_written(&self, text: &str) -> Option<&usize> {
        let at = ["false", "true"].iter().position(|boolean| *boolean == text)?;
        let pairs = [["0", "1"], ["False", "True"]];
        let listed = |cell: usize| cell + 1 < self.n_cells;
        let only = |pair: &&[&str; 2]| {
            self.known.iter().all(|(text, &cell)| pair.contains(&text.as_str()) && listed(cell))
        };
        self.known.get(pairs.iter().find(only)?[at])
    }

    /// The cell of a number that the column stores as one of its own.
    fn as_stored(&self, text: &str) -> Option<&usize> {
        let storage = self.numbers?;
        let stored = number(text, storage)?;
        let same = |known: &String| number(known, storage) == Some(stored);
        self.known.iter().find_map(|(known, cell)| same(known).then_some(cell))
    }
}

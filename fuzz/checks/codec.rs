//! Everything binary that is read back: never a panic, never more than was asked for, and what was
//! read is written and read again as the same.
//!
//! Input: a byte that chooses what the rest is.

use driftd::codec::{Reader, Writer, read_frame, write_frame};
use driftd::decide::model::ModelState;
use driftd::histogram::{CategoricalCells, Cells, Counts, NumericCells, Scale, Storage};
use driftd::offsets::Lineage;
use driftd::window::partition::LINEAGE_BYTES;
use driftd::window::{Pane, Partial, PartitionState, Rules, Watermark};

use super::input::Input;

const RULES: u64 = 7;

/// Reads the input as one of the stored things.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let kind = input.byte();
    let size = input.byte();
    let body = input.rest();
    match kind % 8 {
        0 => frames(body),
        1 => numbers(body),
        2 => counts(body, 16 * usize::from(size)),
        3 => pane(body),
        4 => partial(body),
        5 => partition(body),
        6 => watermark(body),
        _ => model_state(body, size.into()),
    }
}

/// Frames of any bytes, and a frame around these.
fn frames(mut input: &[u8]) {
    let mut framed = Vec::new();
    write_frame(&mut framed, 3, 1, input);
    write_frame(&mut framed, 4, 2, b"next");
    let mut rest = framed.as_slice();
    let first = read_frame(&mut rest).expect("just written");
    assert_eq!((first.kind, first.version, first.body), (3, 1, input));
    assert_eq!(read_frame(&mut rest).expect("just written").body, b"next");
    loop {
        let before = input;
        let Ok(frame) = read_frame(&mut input) else {
            assert_eq!(input, before, "a refused frame was taken");
            return;
        };
        let mut again = Vec::new();
        write_frame(&mut again, frame.kind, frame.version, frame.body);
        assert_eq!(again, before[..before.len() - input.len()]);
    }
}

/// Every number that is read is written and read as the same.
fn numbers(body: &[u8]) {
    let mut input = Reader::new(body);
    let mut seen = Vec::new();
    while let (Ok(a), Ok(b), Ok(c), Ok(d)) = (input.u64(), input.i64(), input.i128(), input.bytes())
    {
        seen.push((a, b, c, d, input.str().unwrap_or("none")));
    }
    let mut out = Writer::default();
    for (a, b, c, d, e) in &seen {
        out.u64(*a);
        out.i64(*b);
        out.i128(*c);
        out.bytes(d);
        out.str(e);
    }
    let bytes = out.into_bytes();
    let mut input = Reader::new(&bytes);
    for (a, b, c, d, e) in seen {
        assert_eq!(input.u64(), Ok(a));
        assert_eq!(input.i64(), Ok(b));
        assert_eq!(input.i128(), Ok(c));
        assert_eq!(input.bytes(), Ok(d));
        assert_eq!(input.str(), Ok(e));
    }
    assert!(input.is_empty());
}

/// Writes with `encode` and reads with `decode`: everything comes back, and every shorter text is
/// refused.
fn comes_back<T: PartialEq + std::fmt::Debug>(
    value: &T,
    encode: impl Fn(&T, &mut Writer),
    decode: impl Fn(&mut Reader<'_>) -> Option<T>,
) {
    let read = shorter(value, encode, decode);
    assert!(read.is_empty(), "cut short it was read: {read:?}");
}

/// The same for what has grown a new end: one shorter text is what an earlier release wrote, and nothing in
/// it is misread.
fn grown_comes_back<T: PartialEq + std::fmt::Debug>(
    value: &T,
    encode: impl Fn(&T, &mut Writer),
    decode: impl Fn(&mut Reader<'_>) -> Option<T>,
) {
    let read = shorter(value, &encode, decode);
    assert!(read.len() <= 1, "{read:?}");
    for (end, old, bytes) in read {
        let mut out = Writer::default();
        encode(&old, &mut out);
        assert!(out.into_bytes().starts_with(&bytes[..end]), "cut at {end}");
    }
}

/// What comes back whole can also be read when it is cut there; with its bytes.
fn shorter<T: PartialEq + std::fmt::Debug>(
    value: &T,
    encode: impl Fn(&T, &mut Writer),
    decode: impl Fn(&mut Reader<'_>) -> Option<T>,
) -> Vec<(usize, T, Vec<u8>)> {
    let mut out = Writer::default();
    encode(value, &mut out);
    let bytes = out.into_bytes();
    let mut input = Reader::new(&bytes);
    assert_eq!(decode(&mut input).as_ref(), Some(value));
    assert!(input.is_empty());
    let ends = (0..bytes.len()).rev().take(40);
    ends.filter_map(|end| Some((end, decode(&mut Reader::new(&bytes[..end]))?, bytes.clone())))
        .collect()
}

fn counts(body: &[u8], max: usize) {
    let decode = |input: &mut Reader<'_>| Counts::decode(input, max).ok();
    let Some(counts) = decode(&mut Reader::new(body)) else { return };
    assert!(counts.cells.len() <= max && counts.cells.capacity() <= max.max(4));
    comes_back(&counts, |counts, out| counts.encode(out), decode);
}

/// Of a pane, the part that every release wrote.
fn pane(body: &[u8]) {
    let shape = rules().shape();
    let decode = |input: &mut Reader<'_>| Pane::decode(input, &shape).ok();
    let Some(pane) = decode(&mut Reader::new(body)) else { return };
    assert!(pane.features.iter().map(|counts| counts.cells.len()).eq(shape.iter().copied()));
    comes_back(&pane, |pane, out| pane.encode(out), decode);
}

fn partial(body: &[u8]) {
    let shape = rules().shape();
    let Ok(Some(partial)) = Partial::decode(body, RULES, &shape) else { return };
    let bytes = partial.encode();
    assert_eq!(Partial::decode(&bytes, RULES + 1, &shape), Ok(None));
    assert_eq!(Partial::decode(&bytes, RULES, &shape), Ok(Some(partial)));
}

fn partition(body: &[u8]) {
    let rules = rules();
    let decode = |input: &mut Reader<'_>| PartitionState::decode(input, &rules).ok();
    let Some(state) = decode(&mut Reader::new(body)) else { return };
    assert!(state.open().all(|pane| pane.features.len() == rules.cells.len()));
    let encoded = |state: &PartitionState| {
        let mut out = Writer::default();
        state.encode(&mut out);
        out.into_bytes()
    };
    assert_eq!(decode(&mut Reader::new(&encoded(&state))).as_ref(), Some(&state));
    // What tells of the log stands behind all else, and can be missing as a whole.
    let mut bare = state;
    bare.lineage = Lineage::default();
    let encode = |state: &PartitionState, out: &mut Writer| {
        let bytes = encoded(state);
        out.raw(&bytes[..bytes.len() - LINEAGE_BYTES]);
    };
    grown_comes_back(&bare, encode, decode);
}

fn watermark(body: &[u8]) {
    let decode = |input: &mut Reader<'_>| Watermark::decode(input).ok();
    let mut input = Reader::new(body);
    let Some(mut watermark) = decode(&mut input) else { return };
    comes_back(&watermark, |watermark, out| watermark.encode(out), decode);
    // Whatever state it is in, it goes on, and never further than what it was shown.
    let mut highest = watermark.highest();
    while let (Ok(event_ms), Ok(kafka_ms)) = (input.i64(), input.i64()) {
        watermark.observe(event_ms, kafka_ms);
        highest = highest.max(Some(event_ms));
        assert!(watermark.get() <= watermark.highest());
    }
}

fn model_state(body: &[u8], n_features: usize) {
    let Ok(state) = ModelState::decode(2, body, n_features) else { return };
    assert!(state.levels.len() <= n_features);
    assert_eq!(ModelState::decode(2, &state.encode(), n_features), Ok(state));
}

fn rules() -> Rules {
    let scale = Scale { center: 0.0, unit: 1.0 };
    let edges = vec![-1.0, 0.0, 2.0];
    let categories = vec!["a".to_owned(), "b".to_owned()];
    Rules {
        hash: RULES,
        pane_ms: 300_000,
        lateness_ms: 900_000,
        active_from_ms: i64::MIN,
        cells: vec![
            Cells::Numeric(NumericCells::new(edges, -1.0, 2.0, scale, Storage::F64)),
            Cells::Categorical(CategoricalCells::new(categories, Vec::new(), false)),
        ],
    }
}

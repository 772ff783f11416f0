//! What came out of the model: its answer, and how sure it was of it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::baseline::Baseline;
use crate::cli::init::infer::{Place, Record, escape, last};
use crate::feature::Role;

const PREDICTION_WORDS: [&str; 9] = [
    "prediction",
    "predictions",
    "predicted_label",
    "predicted_class",
    "score",
    "probability",
    "output",
    "y_pred",
    "prob",
];
/// Names that nothing else has.
const CONFIDENCE_WORDS: [&str; 4] =
    ["confidence", "confidence_score", "prediction_confidence", "model_confidence"];
/// Names that an answer in words has beside it; by themselves they may be the answer.
const BESIDE_WORDS: [&str; 4] = ["score", "probability", "prob", "prediction_probability"];
/// Steps of a pointer that is looked at.
const STEPS: usize = 3;

/// Pointers to outputs: from the record or, where a message has rows, from the row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outputs {
    pub(super) prediction: Option<String>,
    pub(super) confidence: Option<String>,
    /// The answer is a text.
    pub(super) is_in_words: bool,
}

impl Outputs {
    /// The columns of a baseline that would hold them, by their names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let pointers = [self.prediction.as_deref(), self.confidence.as_deref()];
        pointers.into_iter().flatten().filter_map(|pointer| pointer.rsplit('/').next())
    }
}

/// Scalars by pointer, of so many records, or rows.
struct Sample<'a> {
    scalars: BTreeMap<String, Vec<&'a Value>>,
    records: usize,
}

/// Looks for both among the `scalars` of the records, or of their rows.
pub(super) fn find(
    records: &[&Record],
    scalars: &BTreeMap<String, Vec<&Value>>,
    place: &Place,
    baseline: &Baseline,
) -> Outputs {
    let sample = match &place.rows {
        Some(rows) => in_rows(records, rows),
        None => Sample { scalars: scalars.clone(), records: records.len() },
    };
    let column = baseline.features.iter().find(|feature| feature.role == Role::Prediction);
    let column = column.map(|feature| feature.name.to_lowercase());
    let prediction = find_prediction(&sample, column.as_deref());
    let confidence = find_confidence(&sample, prediction.as_deref());
    let is_in_words = prediction.as_deref().is_some_and(|pointer| sample.is_in_words(pointer));
    Outputs { prediction, confidence, is_in_words }
}

/// Of the first row of each message.
fn in_rows<'a>(records: &[&'a Record], rows: &str) -> Sample<'a> {
    let first = |record: &&'a Record| record.value.pointer(rows)?.get(0)?.as_object();
    let mut sample = Sample { scalars: BTreeMap::new(), records: 0 };
    for row in records.iter().filter_map(first) {
        sample.records += 1;
        for (key, value) in row {
            sample.scalars.entry(format!("/{}", escape(key))).or_default().push(value);
        }
    }
    sample
}

impl Sample<'_> {
    fn pointers(&self) -> impl Iterator<Item = &String> {
        self.scalars.keys().filter(|pointer| pointer.matches('/').count() <= STEPS)
    }

    /// Whether what is there is always a text.
    fn is_in_words(&self, pointer: &str) -> bool {
        self.scalars.get(pointer).is_some_and(|all| all.iter().all(|value| value.is_string()))
    }

    /// Whether all records have a number from 0 to 1 there.
    fn is_share(&self, pointer: &str) -> bool {
        let is_share = |value: &&Value| value.as_f64().is_some_and(|v| (0.0..=1.0).contains(&v));
        let values = self.scalars.get(pointer);
        values.is_some_and(|all| all.len() == self.records && all.iter().all(is_share))
    }
}

/// The model's answer: the `column` that the baseline holds it in, or a name that says so.
fn find_prediction(sample: &Sample<'_>, column: Option<&str>) -> Option<String> {
    let named = |name: &str| sample.pointers().find(|pointer| last(pointer) == name);
    let by_word = || PREDICTION_WORDS.into_iter().find_map(named);
    column.and_then(named).or_else(by_word).cloned()
}

/// How sure the model was: a number from 0 to 1 in every record, under a name that only this has, or under
/// one of a score that stands beside an answer in words.
fn find_confidence(sample: &Sample<'_>, prediction: Option<&str>) -> Option<String> {
    let fits = |pointer: &str| Some(pointer) != prediction && sample.is_share(pointer);
    let by_name = || {
        let has_name = |pointer: &&String| CONFIDENCE_WORDS.contains(&last(pointer).as_str());
        sample.pointers().filter(has_name).find(|pointer| fits(pointer)).cloned()
    };
    let beside = || {
        let answer = prediction?;
        let (parent, _) = answer.rsplit_once('/')?;
        let places = BESIDE_WORDS.map(|word| format!("{parent}/{word}"));
        places.into_iter().find(|pointer| sample.is_in_words(answer) && fits(pointer))
    };
    by_name().or_else(beside)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::init::infer::scalars;

    fn found(record: &Value) -> Option<String> {
        let records = [Record { value: record.clone(), kafka_ms: None }];
        let records: Vec<&Record> = records.iter().collect();
        let sample =
            Sample { scalars: scalars(&records, &Place::default()), records: records.len() };
        let prediction = find_prediction(&sample, None);
        find_confidence(&sample, prediction.as_deref())
    }

    #[test]
    fn a_confidence_has_a_name_of_its_own_or_stands_beside_an_answer_in_words() {
        let some = |text: &str| Some(text.to_owned());
        for (record, confidence) in [
            (json!({"prediction": 3.5, "confidence": 0.9}), some("/confidence")),
            (
                json!({"out": {"prediction": 1, "confidence_score": 1}}),
                some("/out/confidence_score"),
            ),
            (json!({"prediction": "cat", "score": 0.93}), some("/score")),
            (json!({"out": {"predicted_label": "cat", "prob": 0}}), some("/out/prob")),
            // It may be a per cent, an input, or the answer itself.
            (json!({"prediction": "cat", "score": 93}), None),
            (json!({"prediction": "cat", "confidence": "high"}), None),
            (json!({"out": {"prediction": "cat"}, "score": 0.93}), None),
            (json!({"prediction": 0.2, "score": 0.93}), None),
            (json!({"score": 0.93}), None),
            (json!({"prediction": "cat", "confidence_interval": 0.5}), None),
        ] {
            assert_eq!(found(&record), confidence, "{record}");
        }
    }
}

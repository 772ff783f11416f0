//! What was recorded, read back: for the page, which shows some of it as it stands now.

use std::collections::BTreeMap;

use crate::metrics::Metrics;
use crate::metrics::text::Families;

/// Values by the name of their family and by their labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples(BTreeMap<String, Vec<Sample>>);

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Sample {
    /// Empty where there is no such label.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

impl Metrics {
    /// What was recorded, without the process and the drift families.
    pub fn samples(&self, now_ms: i64) -> Samples {
        let mut out = Families::default();
        out.absorb(&self.0.handle.render());
        self.render_vanishing(&mut out, now_ms);
        Samples::read(&out.render())
    }
}

impl Samples {
    /// Reads an exposition; what is not a sample in it is skipped.
    pub(super) fn read(exposition: &str) -> Self {
        let mut out = Self::default();
        for line in exposition.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse() else { continue };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels = labels_of(labels);
            out.0.entry(name.to_owned()).or_default().push(Sample { labels, value });
        }
        out
    }

    /// The samples of a family, in the order of their labels.
    pub fn of(&self, family: &str) -> &[Sample] {
        self.0.get(family).map_or(&[], Vec::as_slice)
    }
}

/// `a="b",c="d\"e"}`, unescaped.
fn labels_of(text: &str) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut chars = after.char_indices();
        let mut end = after.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, c)) => value.push(c),
                    None => {}
                },
                c => value.push(c),
            }
        }
        out.insert(name.trim_start_matches(',').to_owned(), value);
        rest = &after[end..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_recorded_is_read_back_whatever_the_names_are() {
        let metrics = Metrics::new();
        let hostile = "a\"b\\c\n,d=\"e\"}";
        metrics.records_late("t", hostile, 7);
        metrics.lag(hostile, 3, 12);
        let samples = metrics.samples(0);
        let late = samples.of("driftd_records_late_total");
        assert_eq!((late.len(), late[0].label("topic"), late[0].label("model")), (1, "t", hostile));
        let lag = samples.of("driftd_consumer_lag_records");
        assert_eq!((lag[0].label("topic"), lag[0].label("partition")), (hostile, "3"));
        assert!((lag[0].value - 12.0).abs() < 1e-9 && (late[0].value - 7.0).abs() < 1e-9);
        assert!(samples.of("nothing").is_empty());
    }
}

//! Families of series as Prometheus text: sorted, escaped, with HELP and TYPE on each.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::metrics::labels::are_of;

/// What Prometheus takes a family for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// Families by name; a family without series is not printed.
#[derive(Debug, Default)]
pub(super) struct Families {
    by_name: BTreeMap<String, Family>,
}

#[derive(Debug, Default)]
struct Family {
    kind: String,
    /// Escaped already.
    help: String,
    /// Name with labels, to the lines of that series: one, or all of a histogram.
    series: BTreeMap<String, String>,
}

impl Families {
    /// Sets one series. A value that is not finite sets nothing: an absent series says "cannot be
    /// computed", while NaN would poison every sum that it enters.
    pub(super) fn set(
        &mut self,
        (name, kind, help): (&str, Kind, &str),
        labels: &[(&str, &str)],
        value: f64,
    ) {
        debug_assert!(are_of(name, labels), "metrics/labels.rs: {name} with {labels:?}");
        if !value.is_finite() {
            return;
        }
        let key = series_name(name, labels);
        let line = format!("{key} {value}\n");
        let family = self.by_name.entry(name.to_owned()).or_insert_with(|| Family {
            kind: kind.as_str().to_owned(),
            help: escape(help, false),
            series: BTreeMap::new(),
        });
        family.series.insert(key, line);
    }

    /// Sets one histogram: how many were at most each of `edges`, and last how many there were, with
    /// their sum.
    pub(super) fn set_histogram(
        &mut self,
        (name, kind, help): (&str, Kind, &str),
        labels: &[(&str, &str)],
        edges: &[u32],
        cumulated: impl Iterator<Item = u64>,
        sum: f64,
    ) {
        debug_assert!(are_of(name, labels), "metrics/labels.rs: {name} with {labels:?}");
        let (mut lines, mut count) = (String::new(), 0);
        let edges = edges.iter().map(u32::to_string).chain(["+Inf".to_owned()]);
        for (edge, upto) in edges.zip(cumulated) {
            let labels = [labels, &[("le", &*edge)]].concat();
            lines.push_str(&series_name(&format!("{name}_bucket"), &labels));
            lines.push_str(&format!(" {upto}\n"));
            count = upto;
        }
        for (end, value) in [("sum", sum), ("count", count as f64)] {
            let key = series_name(&format!("{name}_{end}"), labels);
            lines.push_str(&format!("{key} {value}\n"));
        }
        let family = self.by_name.entry(name.to_owned()).or_insert_with(|| Family {
            kind: kind.as_str().to_owned(),
            help: escape(help, false),
            series: BTreeMap::new(),
        });
        family.series.insert(series_name(name, labels), lines);
    }

    /// Takes in what the exporter rendered; it prints families and series in no order.
    pub(super) fn absorb(&mut self, text: &str) {
        let mut name = String::new();
        let mut open = String::new();
        for line in text.lines() {
            if let Some((found, help)) =
                line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' '))
            {
                found.clone_into(&mut name);
                self.by_name.entry(name.clone()).or_default().help = help.to_owned();
            } else if let Some((found, kind)) =
                line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
            {
                found.clone_into(&mut name);
                self.by_name.entry(name.clone()).or_default().kind = kind.to_owned();
            } else if let Some((key, _)) = line.rsplit_once(' ') {
                let family = self.by_name.entry(name.clone()).or_default();
                open.push_str(line);
                open.push('\n');
                // A histogram's lines stay together: its buckets ascend, and `_count` ends them.
                let whole = family.kind != "histogram"
                    || key
                        .strip_prefix(name.as_str())
                        .is_some_and(|rest| rest.starts_with("_count"));
                if whole {
                    family.series.insert(key.to_owned(), std::mem::take(&mut open));
                }
            }
        }
    }

    /// Adds the families of `other`; a series that both have is the other's.
    pub(super) fn merge(&mut self, other: Families) {
        for (name, mut family) in other.by_name {
            match self.by_name.entry(name) {
                std::collections::btree_map::Entry::Occupied(mut mine) => {
                    mine.get_mut().series.append(&mut family.series);
                }
                std::collections::btree_map::Entry::Vacant(place) => {
                    place.insert(family);
                }
            }
        }
    }

    /// How many series Prometheus would store of this; a histogram is one for each of its lines.
    pub(super) fn series(&self) -> usize {
        self.by_name
            .values()
            .flat_map(|family| family.series.values())
            .map(|lines| lines.bytes().filter(|&byte| byte == b'\n').count())
            .sum()
    }

    /// The text, families and series sorted.
    pub(super) fn render(&self) -> String {
        let mut out = String::new();
        for (name, family) in self.by_name.iter().filter(|(_, family)| !family.series.is_empty()) {
            let Family { kind, help, series } = family;
            write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n")
                .expect("writing to a string cannot fail");
            for lines in series.values() {
                out.push_str(lines);
            }
        }
        out
    }
}

fn series_name(name: &str, labels: &[(&str, &str)]) -> String {
    let mut out = name.to_owned();
    for (i, (label, value)) in labels.iter().enumerate() {
        out.push(if i == 0 { '{' } else { ',' });
        write!(out, "{label}=\"{}\"", escape(value, true))
            .expect("writing to a string cannot fail");
    }
    if !labels.is_empty() {
        out.push('}');
    }
    out
}

/// Backslash and line feed are escaped everywhere, the double quote in label values only.
fn escape(text: &str, quotes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATIO: (&str, Kind, &str) = ("b_ratio", Kind::Gauge, "A \"share\" of\nall.");

    #[test]
    fn hostile_label_values_stay_inside_their_quotes() {
        let mut out = Families::default();
        out.set(RATIO, &[("feature", "a\"}\n1 \\")], 0.5);
        assert_eq!(
            out.render(),
            "# HELP b_ratio A \"share\" of\\nall.\n# TYPE b_ratio gauge\n\
             b_ratio{feature=\"a\\\"}\\n1 \\\\\"} 0.5\n"
        );
    }

    #[test]
    fn what_is_not_finite_is_absent() {
        let mut out = Families::default();
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            out.set(RATIO, &[], value);
        }
        assert_eq!((out.render().as_str(), out.series()), ("", 0));
    }

    #[test]
    fn exporter_text_comes_out_sorted_with_histograms_whole() {
        let mut out = Families::default();
        out.set(RATIO, &[], 1.0);
        out.absorb(
            "# HELP c_seconds C.\n# TYPE c_seconds histogram\n\
             c_seconds_bucket{t=\"y\",le=\"0.5\"} 1\nc_seconds_bucket{t=\"y\",le=\"+Inf\"} 2\n\
             c_seconds_sum{t=\"y\"} 3\nc_seconds_count{t=\"y\"} 2\n\
             c_seconds_bucket{t=\"x y\",le=\"0.5\"} 1\nc_seconds_bucket{t=\"x y\",le=\"+Inf\"} 1\n\
             c_seconds_sum{t=\"x y\"} 1\nc_seconds_count{t=\"x y\"} 1\n\n\
             # HELP a_total A.\n# TYPE a_total counter\na_total{k=\"z\"} 1\na_total{k=\"b\"} 2\n\n",
        );
        let text = out.render();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[2..4], ["a_total{k=\"b\"} 2", "a_total{k=\"z\"} 1"]);
        assert_eq!(lines[6], "b_ratio 1");
        assert_eq!(lines[9], "c_seconds_bucket{t=\"x y\",le=\"0.5\"} 1");
        assert_eq!(lines[13], "c_seconds_bucket{t=\"y\",le=\"0.5\"} 1");
        assert_eq!(out.series(), 11);
    }
}

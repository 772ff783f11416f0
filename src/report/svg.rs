//! Pictures as inline SVG: shapes with classes that the page's style colours, so that one picture
//! serves light and dark.

use std::fmt::Display;
use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::setting::{DAY_MS, HOUR_MS};

/// Distances between marks of a time axis.
const STEPS_MS: [i64; 16] = [
    60_000,
    5 * 60_000,
    15 * 60_000,
    HOUR_MS,
    3 * HOUR_MS,
    6 * HOUR_MS,
    12 * HOUR_MS,
    DAY_MS,
    2 * DAY_MS,
    7 * DAY_MS,
    14 * DAY_MS,
    28 * DAY_MS,
    91 * DAY_MS,
    182 * DAY_MS,
    365 * DAY_MS,
    1826 * DAY_MS,
];

/// Text as it may stand in HTML and SVG, in elements and in quoted attributes.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A drawing of a fixed size in its own units, as wide as the page lets it be.
#[derive(Debug)]
pub struct Drawing {
    body: String,
    width: f64,
    height: f64,
}

/// Where a text is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

impl Drawing {
    pub fn new(width: f64, height: f64) -> Self {
        Self { body: String::new(), width, height }
    }

    fn add(&mut self, shape: impl Display) {
        // A String takes every write.
        write!(self.body, "{shape}").ok();
    }

    pub fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        self.add(format_args!(
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        ));
    }

    /// A rectangle that says `title` where the pointer rests on it.
    pub fn rect(&mut self, class: &str, (x, y): (f64, f64), (w, h): (f64, f64), title: &str) {
        let (w, h) = (w.max(0.0), h.max(0.0));
        self.add(format_args!(
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{w:.1}" height="{h:.1}">{}</rect>"#,
            title_of(title)
        ));
    }

    /// A line through points; `None` interrupts it.
    pub fn path(&mut self, class: &str, points: impl Iterator<Item = Option<(f64, f64)>>) {
        let (mut path, mut pen_down) = (String::new(), false);
        for point in points {
            if let Some((x, y)) = point {
                let command = if pen_down { 'L' } else { 'M' };
                write!(path, "{command}{x:.1} {y:.1}").ok();
            }
            pen_down = point.is_some();
        }
        if !path.is_empty() {
            // A lone point is seen by its round end.
            self.add(format_args!(r#"<path class="{class}" d="{path}"/>"#));
        }
    }

    /// A small triangle that points down at `(x, y)`.
    pub fn marker(&mut self, class: &str, (x, y): (f64, f64), title: &str) {
        let (left, right, top) = (x - 5.0, x + 5.0, y - 8.0);
        self.add(format_args!(
            r#"<path class="{class}" d="M{x:.1} {y:.1}L{left:.1} {top:.1}L{right:.1} {top:.1}Z">{}</path>"#,
            title_of(title)
        ));
    }

    pub fn text(&mut self, class: &str, (x, y): (f64, f64), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.add(format_args!(
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{}</text>"#,
            escaped(text)
        ));
    }

    /// A text that ends at `(x, y)` and rises to it.
    pub fn slanted(&mut self, class: &str, (x, y): (f64, f64), text: &str) {
        self.add(format_args!(
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="end" transform="rotate(-38 {x:.1} {y:.1})">{}</text>"#,
            escaped(text)
        ));
    }

    /// The element; `label` is what it shows, for those who can't see it.
    pub fn finish(self, label: &str) -> String {
        let Self { body, width, height } = self;
        format!(
            r#"<svg viewBox="0 0 {width:.0} {height:.0}" role="img" aria-label="{}">{body}</svg>"#,
            escaped(label)
        )
    }
}

fn title_of(title: &str) -> String {
    if title.is_empty() { String::new() } else { format!("<title>{}</title>", escaped(title)) }
}

/// Maps values to places.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub from: (f64, f64),
    pub to: (f64, f64),
}

impl Scale {
    /// The place of a value; what lies outside is put at the end.
    pub fn at(&self, value: f64) -> f64 {
        let ((low, high), (start, end)) = (self.from, self.to);
        let share = if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 };
        start + share * (end - start)
    }
}

/// Round numbers from 0 to at most `highest`, about `n` of them.
pub fn round_marks(highest: f64, n: usize) -> Vec<f64> {
    if highest <= 0.0 || !highest.is_finite() {
        return vec![0.0];
    }
    let rough = highest / n.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|k| k * power).into_iter().find(|&s| s >= rough);
    let step = step.unwrap_or(rough);
    (0..).map(|i| f64::from(i) * step).take_while(|&mark| mark <= highest * 1.000_001).collect()
}

/// Moments of a time axis with their labels, at most `n`, in UTC.
pub fn time_marks(from_ms: i64, to_ms: i64, n: usize) -> Vec<(i64, String)> {
    let span = to_ms.saturating_sub(from_ms).max(1);
    let most = i64::try_from(n.max(1)).unwrap_or(i64::MAX);
    let step = STEPS_MS.into_iter().find(|step| span / step < most).unwrap_or(span);
    let first = from_ms.saturating_add(step - 1).div_euclid(step) * step;
    let format = match step {
        DAY_MS.. => "%Y-%m-%d",
        _ if span <= DAY_MS => "%H:%M",
        _ => "%m-%d %H:%M",
    };
    let label = |ms: i64| {
        let time = Timestamp::from_millisecond(ms).ok()?.to_zoned(TimeZone::UTC);
        Some((ms, time.strftime(format).to_string()))
    };
    let count = usize::try_from((to_ms - first).max(-1) / step + 1).unwrap_or(0);
    (0i64..).take(count).filter_map(|i| label(first + i * step)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_stays_text() {
        assert_eq!(escaped("<b>\"&'\u{1b}"), "&lt;b&gt;&quot;&amp;&#39;\u{fffd}");
        let mut drawing = Drawing::new(10.0, 10.0);
        drawing.text("a", (0.0, 0.0), Anchor::Start, "</text><script>");
        drawing.rect("b", (0.0, 0.0), (1.0, -1.0), "\"><script>");
        let svg = drawing.finish("\"><script>");
        assert!(!svg.contains("<script>") && svg.contains("height=\"0.0\""), "{svg}");
    }

    #[test]
    fn marks_are_round_and_inside() {
        assert_eq!(round_marks(0.43, 4), [0.0, 0.2, 0.4]);
        assert_eq!(round_marks(1.0, 5), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(round_marks(0.0, 4), [0.0]);
        assert_eq!(round_marks(f64::NAN, 4), [0.0]);
        let marks = time_marks(1_700_000_000_000, 1_700_000_000_000 + 3 * DAY_MS, 7);
        let labels: Vec<&str> = marks.iter().map(|(_, label)| label.as_str()).collect();
        assert_eq!(labels[0], "11-15 00:00");
        assert!(labels.len() >= 5 && labels.len() <= 7, "{labels:?}");
        let year = time_marks(0, 365 * DAY_MS, 8);
        assert!(year.len() <= 8 && year[0].1 == "1970-01-01", "{year:?}");
        assert!(time_marks(5, 4, 8).len() <= 1);
    }

    #[test]
    fn a_gap_interrupts_a_line() {
        let mut drawing = Drawing::new(10.0, 10.0);
        let points = [Some((0.0, 1.0)), Some((1.0, 1.0)), None, Some((3.0, 1.0))];
        drawing.path("l", points.into_iter());
        assert!(drawing.finish("").contains("M0.0 1.0L1.0 1.0M3.0 1.0"));
    }
}

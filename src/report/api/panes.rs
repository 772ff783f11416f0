//! The exact counts of every closed pane as canonical JSON: the same counts are the same bytes.

use std::sync::Arc;

use crate::baseline::Baseline;
use crate::codec::Truncated;
use crate::decide::view::ModelView;
use crate::histogram::Counts;

/// Which panes, and which feature of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PaneFilter {
    /// Panes that start at or after, ms since the epoch.
    pub from_ms: Option<i64>,
    /// Panes that start before.
    pub to_ms: Option<i64>,
    pub feature: Option<String>,
}

/// `GET /api/v1/models/{model}/panes`, piece by piece, so that a week of panes is never whole in memory.
///
/// Canonical: keys sorted, integers only, times in ms since the epoch, no white space. The same
/// counts are the same bytes.
pub fn panes(
    model: &Arc<ModelView>,
    filter: &PaneFilter,
) -> impl Iterator<Item = Result<String, Truncated>> + Send + use<> {
    let model = Arc::clone(model);
    let baseline = model.baseline.clone();
    let cells: Vec<usize> =
        baseline.iter().flat_map(|b| &b.features).map(|f| f.cells.len()).collect();
    let mut shown: Vec<usize> = (0..cells.len()).collect();
    if let Some(baseline) = &baseline {
        let name = |&i: &usize| baseline.features[i].name.as_str();
        shown.retain(|i| filter.feature.as_deref().is_none_or(|only| only == name(i)));
        shown.sort_by(|a, b| name(a).cmp(name(b)));
    }
    let wanted = {
        let PaneFilter { from_ms, to_ms, feature: _ } = *filter;
        move |start: i64| {
            from_ms.is_none_or(|from| start >= from) && to_ms.is_none_or(|to| start < to)
        }
    };
    let chosen: Vec<usize> = if baseline.is_some() {
        (0..model.panes.len()).filter(|&i| wanted(model.panes[i].start_ms)).collect()
    } else {
        Vec::new()
    };
    let pane = move |(n, i): (usize, usize)| {
        let counts = model.panes[i].counts(&cells)?;
        let mut out = String::from(if n == 0 { "" } else { "," });
        write_pane(&mut out, &model, i, baseline.as_deref(), &shown, &counts);
        Ok(out)
    };
    let open = std::iter::once(Ok("{\"panes\":[".to_owned()));
    let close = std::iter::once(Ok("]}\n".to_owned()));
    open.chain(chosen.into_iter().enumerate().map(pane)).chain(close)
}

fn write_pane(
    out: &mut String,
    model: &ModelView,
    index: usize,
    baseline: Option<&Baseline>,
    shown: &[usize],
    counts: &[Counts],
) {
    let pane = &model.panes[index];
    out.push_str(&format!("{{\"end\":{},\"features\":{{", pane.start_ms + model.pane_ms));
    for (n, &i) in shown.iter().enumerate() {
        let Some(feature) = baseline.and_then(|baseline| baseline.features.get(i)) else {
            continue;
        };
        if n > 0 {
            out.push(',');
        }
        // A string as JSON: quoted and escaped.
        out.push_str(&serde_json::Value::from(feature.name.as_str()).to_string());
        out.push(':');
        write_counts(out, &counts[i]);
    }
    let (records, rejects, start) = (pane.records, pane.rejects, pane.start_ms);
    out.push_str(&format!("}},\"records\":{records},\"rejects\":{rejects},\"start\":{start}}}"));
}

fn write_counts(out: &mut String, c: &Counts) {
    let cells: Vec<String> = c.cells.iter().map(u64::to_string).collect();
    out.push_str(&format!(
        "{{\"above\":{},\"below\":{},\"cells\":[{}],\"high_sum\":{},\"low_sum\":{},",
        c.above,
        c.below,
        cells.join(","),
        c.high_sum,
        c.low_sum,
    ));
    out.push_str(&format!(
        "\"missing\":{},\"nan\":{},\"neg_inf\":{},\"null\":{},\"pos_inf\":{},",
        c.missing, c.nan, c.neg_inf, c.null, c.pos_inf,
    ));
    out.push_str(&format!(
        "\"sum\":{},\"sum_squares\":{},\"type_error\":{},\"unseen\":{}}}",
        c.sum, c.sum_squares, c.type_error, c.unseen,
    ));
}

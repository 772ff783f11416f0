//! Records of files counted pane by pane, in the columns of the test: what there is to tune on.

use std::sync::Arc;

use crate::baseline::Baseline;
use crate::config::Model;
use crate::decide::evidence::Columns;
use crate::pipeline::BadInput;
use crate::pipeline::baselines::check;
use crate::pipeline::replay::Policy;
use crate::pipeline::replay::Reading;
use crate::pipeline::replay::bad_file;
use crate::pipeline::replay::reader::RowReader;
use crate::pipeline::replay::spec_of;
use crate::pipeline::spec::Watched;
use crate::setting::Span;
use crate::source::file::FileSource;
use crate::source::file::TimeAsked;
use crate::window::Pane;
use crate::window::PartitionState;

/// Panes that records are counted in: short ones first, and longer ones once there are too many.
const PANES_MS: [i64; 4] = [60_000, 300_000, 900_000, 3_600_000];
/// Numbers that are kept at the most, as long as panes can be lengthened.
const NUMBERS_MOST: usize = 8 << 20;

/// What is surveyed, and how.
pub(crate) struct Request {
    pub source: FileSource,
    pub time: TimeAsked,
    pub model: Model,
    pub baseline: Baseline,
    /// Put the rows in order of time first; they must fit in memory.
    pub sort: bool,
}

/// Every pane that holds a record, in order.
pub(crate) struct Survey {
    pub pane_ms: i64,
    pub panes: Vec<SurveyPane>,
    /// The columns of each feature of the baseline; `None` for one that is not watched.
    pub columns: Vec<Option<Columns>>,
    pub records: u64,
    pub rejected: u64,
    pub late: u64,
    /// Where a row's time was taken from, for people.
    pub time: String,
}

/// One pane: a vector of columns for each feature, empty for one that is not watched.
#[derive(Clone)]
pub(crate) struct SurveyPane {
    pub start_ms: i64,
    pub records: u64,
    pub columns: Vec<Vec<f64>>,
}

/// Reads and counts; `progress` is told how many bytes have been counted.
///
/// # Errors
/// `BadInput` for files or baselines that can't be used.
pub(crate) fn survey(request: Request, progress: &dyn Fn(u64)) -> anyhow::Result<Survey> {
    let Request { source, time, mut model, baseline, sort } = request;
    model.pane = Span::from_secs(60);
    let time = source.find_time(&time, model.fields.event_time.as_ref()).map_err(bad_file)?;
    let policy = Policy { label: String::new(), model, baseline };
    let spec = spec_of(&policy, &time);
    check(&spec, &policy.baseline).map_err(BadInput)?;
    let watched = Watched::new(&spec, Arc::new(policy.baseline), i64::MIN);
    let reader = RowReader::new(&spec, &watched, Some(time.clone()));
    let features = watched.baseline.features.iter();
    let columns: Vec<Option<Columns>> =
        features.map(|feature| feature.unusable.is_none().then(|| Columns::new(feature))).collect();
    let mut survey = Survey {
        pane_ms: PANES_MS[0],
        panes: Vec::new(),
        columns,
        records: 0,
        rejected: 0,
        late: 0,
        time: time.describe(),
    };
    let mut state = PartitionState::new(&watched.rules, 0);
    let reading = Reading { source: &source, sort, progress };
    reading.each(vec![reader], &mut |_, batch, next| {
        state.apply(&watched.rules, batch, next);
        if state.has_closed() {
            state.take_closed().iter().for_each(|pane| survey.push(pane));
        }
    })?;
    state.open().for_each(|pane| survey.push(pane));
    survey.records = state.totals.records;
    survey.rejected = state.totals.rejects.iter().sum();
    survey.late = state.totals.late;
    Ok(survey)
}

impl Survey {
    fn push(&mut self, pane: &Pane) {
        if pane.records == 0 {
            return;
        }
        let columns = self.columns.iter().zip(&pane.features);
        let columns = columns.map(|(columns, counts)| {
            columns.as_ref().map(|columns| columns.map(counts)).unwrap_or_default()
        });
        let pane = SurveyPane {
            start_ms: pane.start_ms.div_euclid(self.pane_ms) * self.pane_ms,
            records: pane.records,
            columns: columns.collect(),
        };
        join(&mut self.panes, pane);
        let a_pane: usize = self.columns.iter().flatten().map(Columns::len).sum();
        let longer = PANES_MS.iter().copied().find(|&ms| ms > self.pane_ms);
        if let Some(longer) = longer.filter(|_| self.panes.len() * a_pane.max(1) > NUMBERS_MOST) {
            self.panes = self.lengthened(longer);
            self.pane_ms = longer;
        }
    }

    /// The same in panes of a multiple of the present length.
    pub(crate) fn lengthened(&self, pane_ms: i64) -> Vec<SurveyPane> {
        let mut panes = Vec::new();
        for pane in &self.panes {
            let start_ms = pane.start_ms.div_euclid(pane_ms) * pane_ms;
            join(&mut panes, SurveyPane { start_ms, ..pane.clone() });
        }
        panes
    }

    /// `[start, end)` in event time; `None` without a record.
    pub(crate) fn span_ms(&self) -> Option<(i64, i64)> {
        Some((self.panes.first()?.start_ms, self.panes.last()?.start_ms + self.pane_ms))
    }
}

/// Appends, or adds to the last one of the same time.
fn join(panes: &mut Vec<SurveyPane>, pane: SurveyPane) {
    match panes.last_mut().filter(|last| last.start_ms == pane.start_ms) {
        Some(last) => {
            last.records += pane.records;
            add(&mut last.columns, &pane.columns);
        }
        None => panes.push(pane),
    }
}

/// Adds column by column.
pub(crate) fn add(sums: &mut [Vec<f64>], more: &[Vec<f64>]) {
    for (sums, more) in sums.iter_mut().zip(more) {
        sums.iter_mut().zip(more).for_each(|(sum, count)| *sum += count);
    }
}

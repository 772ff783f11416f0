//! When a model was trained, as far as what its training data are from can tell.

use crate::baseline::{Trained, TrainedBy};
use crate::fetch::origin::{Kind, Origin};

/// 2000-01-01T00:00:00Z. Tools that build the same image twice alike give files the time 0, or one of the
/// eighties; numbers that count from the start of a recording are times of 1970.
const NO_TIME_MS: i64 = 946_684_800_000;

impl Origin {
    /// When the model was trained whose data end at `data_end_ms`. Data that end behind the time of their
    /// file tell another time.
    pub(crate) fn trained(&self, data_end_ms: Option<i64>) -> Option<Trained> {
        let modified = self.modified();
        let is_one = |end_ms: &i64| {
            *end_ms >= NO_TIME_MS && modified.is_none_or(|modified| *end_ms <= modified.at_ms)
        };
        let data_end_ms = data_end_ms.filter(is_one);
        let data = data_end_ms.map(|at_ms| Trained { at_ms, by: TrainedBy::TimeColumn });
        self.registered().or(data).or(modified)
    }

    /// The same of a profile that says `own`.
    pub(crate) fn trained_of_profile(&self, own: Option<Trained>) -> Option<Trained> {
        let own = own.filter(|own| own.at_ms >= NO_TIME_MS);
        self.registered().or(own).or_else(|| self.modified())
    }

    fn registered(&self) -> Option<Trained> {
        self.registered_ms.map(|at_ms| Trained { at_ms, by: TrainedBy::Registry })
    }

    fn modified(&self) -> Option<Trained> {
        // What a registry hands out is written when it is read.
        if self.version.is_some() {
            return None;
        }
        let newest = match &self.kind {
            Kind::Local { parts, .. } => parts.iter().map(|(_, p)| p.stamp.modified_ms()).max(),
            Kind::Remote { parts, .. } => {
                parts.iter().map(|part| part.meta.last_modified.timestamp_millis()).max()
            }
            Kind::Delta { .. } | Kind::Artifact { .. } | Kind::Tracked(_) => None,
        };
        let newest = newest.filter(|ms| *ms >= NO_TIME_MS);
        newest.map(|at_ms| Trained { at_ms, by: TrainedBy::Modified })
    }
}

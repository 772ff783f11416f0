//! Models that come and go among replicas: what is known of one is taken up, and given back.

use tokio::time::Instant;
use tracing::debug;
use tracing::error;
use tracing::info;

use crate::offsets::TopicPartition;
use crate::pipeline::counted::Taken;
use crate::pipeline::evaluate::Evaluate;
use crate::pipeline::evaluate::Standing;
use crate::pipeline::evaluate::model::ModelEvaluator;
use crate::pipeline::evaluate::model::Sealing;
use crate::pipeline::panes;
use crate::window::Partial;
use crate::window::Seal;

impl Evaluate {
    /// A model is ours, or goes over to another baseline.
    pub(super) fn take(&mut self, model: usize, taken: Taken, (now, now_ms): (Instant, i64)) {
        let Taken { watched, kept, heads, in_topic } = taken;
        // What was decided before is folded in before anything is decided here.
        self.log.follow();
        if !self.models[model].owned {
            // First: what is over by this baseline ends in the thread that it began.
            let name = self.specs[model].name();
            self.recall(|of| of == name);
        }
        self.models[model].owned = true;
        self.models[model].remote = true;
        self.take_up(model, watched, kept, now_ms);
        for (progress, high) in heads {
            self.models[model].assign(progress, high, now);
        }
        self.models[model].measure(in_topic, now);
        self.send_pending();
    }

    /// Models are another's: nothing more is decided about them here, and nothing is sent, asked or kept.
    pub(super) fn release(&mut self, models: &[usize], now: Instant) {
        self.log.follow();
        for &model in models {
            let spec = self.specs[model].clone();
            if self.models[model].owned {
                info!(model = spec.name(), "evaluated elsewhere from now on");
            }
            self.deliverer.forget_model(spec.name());
            self.models[model] = ModelEvaluator::new(spec, now);
            self.models[model].owned = false;
            self.metrics.released(self.specs[model].name());
        }
    }

    /// What other replicas have decided and tried. Messages that became ours by it are sent.
    pub(super) fn follow_log(&mut self) {
        if self.log.follow() {
            self.dirty = true;
            self.send_pending();
        }
    }

    /// Where a model stands; where it is evaluated, if not here.
    pub(super) fn stand(&self, model: usize) -> Result<Standing, String> {
        if let Some(elsewhere) = self.elsewhere(self.specs[model].name()) {
            return Err(elsewhere);
        }
        let evaluator = &self.models[model];
        let lateness = self.specs[model].model.lateness.as_ms();
        let frontiers = evaluator.merge.sources().filter_map(|source| source.frontier_ms);
        let watermark = frontiers.max().map(|frontier| frontier.saturating_add(lateness));
        Ok(Standing { furthest_ms: watermark.max(evaluator.state.decided_end_ms) })
    }

    /// Whether what is due for a model of this name is sent from here. Of one that has left the configuration of
    /// the only replica, that are its last messages.
    pub(super) fn owns(&self, name: &str) -> bool {
        match self.specs.iter().position(|spec| spec.name() == name) {
            Some(model) => self.models[model].owned,
            None => self.store.kafka().is_none(),
        }
    }

    /// Where a model is evaluated, if not here.
    pub(super) fn elsewhere(&self, name: &str) -> Option<String> {
        if self.owns(name) {
            return None;
        }
        let owner = self.store.kafka().and_then(|store| store.owner(name));
        let other = owner.filter(|(_, ours)| !ours).map(|(owner, _)| owner);
        Some(other.map_or_else(String::new, |owner| match owner.address.is_empty() {
            true => owner.name,
            false => owner.address,
        }))
    }

    /// Makes a seal durable; true if the pane may close by it at once. Where replicas share the log it
    /// closes when the seal is read back: of two the first counts.
    pub(super) fn seal(&mut self, model: usize, seal: Seal, partials: &[Partial]) -> bool {
        let Some(rules) = self.models[model].watched.as_ref().map(|w| w.rules.hash) else {
            return false;
        };
        if self.store.kafka().is_some() {
            let sum = self.models[model].merge.sum(seal.pane_start_ms, partials);
            let record = panes::sum(&seal, rules, &sum);
            self.models[model].sealing = Some(Sealing { record, written: false });
            self.write_seal(model);
            return false;
        }
        let mut records: Vec<_> =
            partials.iter().map(|p| (p.partition.clone(), panes::partial(p))).collect();
        records.push((TopicPartition::new("", 0), panes::seal(&seal)));
        let name = self.specs[model].name();
        if let Err(error) = self.store.append_panes(name, rules, records) {
            error!(model = name, %error, "a seal can't be written; the pane stays open");
            return false;
        }
        let (pane, complete) = (seal.pane_start_ms, seal.complete);
        debug!(model = name, pane, complete, "sealed");
        self.models[model].merge.sealed(seal);
        true
    }

    /// Repeats a seal that may not have been written; a second one changes nothing.
    pub(super) fn write_seal(&mut self, model: usize) {
        let name = self.specs[model].name();
        let evaluator = &mut self.models[model];
        let rules = evaluator.watched.as_ref().map(|w| w.rules.hash);
        let (Some(rules), Some(sealing), Some(store)) =
            (rules, evaluator.sealing.as_mut(), self.store.kafka())
        else {
            return;
        };
        if sealing.written {
            return;
        }
        match store.append_seal(name, rules, sealing.record.clone()) {
            Ok(()) => sealing.written = true,
            Err(error) => {
                error!(model = name, %error, "a seal can't be written; the pane stays open");
            }
        }
    }
}

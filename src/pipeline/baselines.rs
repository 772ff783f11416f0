//! The baseline that each model starts with: the one in the state, else the configured one.

use std::sync::Arc;

use anyhow::Context;
use tracing::error;
use tracing::info;
use tracing::warn;

use crate::baseline::Baseline;
use crate::config::Model;
use crate::config::fit;
use crate::fetch;
use crate::fetch::WorkerCommand;
use crate::pipeline::BadInput;
use crate::pipeline::evaluate::model::VERSION as LEVELS_VERSION;
use crate::pipeline::profile;
use crate::pipeline::profile::Kept;
use crate::pipeline::spec::Spec;
use crate::pipeline::spec::Watched;
use crate::store;
use crate::store::FileStore;

/// Baselines that the state holds, one slot a model.
pub(super) struct Stored(Vec<Option<Kept>>);

impl Stored {
    /// What is damaged is left out, with a line: the configured baseline is read again then.
    ///
    /// # Errors
    /// When a model's baseline or levels can't be read at present, which must not pass for there being none,
    /// or a newer release wrote them: they are not written over.
    pub(super) fn load(store: &FileStore, specs: &[Spec]) -> Result<Self, store::Error> {
        for spec in specs {
            store.load_test(spec.name())?.supported(LEVELS_VERSION)?;
        }
        specs.iter().map(|spec| load_one(store, spec)).collect::<Result<_, _>>().map(Self)
    }
}

fn load_one(store: &FileStore, spec: &Spec) -> Result<Option<Kept>, store::Error> {
    let name = spec.name();
    let loaded = store.load_profile(name)?;
    for rejected in &loaded.rejected {
        warn!(model = name, %rejected, "a stored baseline is damaged");
    }
    let Some((_, json)) = loaded.supported(profile::VERSION)? else { return Ok(None) };
    match profile::decode(json) {
        Ok(kept) if kept.settings == profile::settings(&spec.model.overrides()) => Ok(Some(kept)),
        Ok(_) => {
            info!(
                model = name,
                "the settings of its features have changed; its baseline is read again"
            );
            Ok(None)
        }
        Err(error) => {
            error!(model = name, %error, "the stored baseline makes no sense");
            Ok(None)
        }
    }
}

/// The baseline of each model; `None` where its store can't be reached or somebody writes there (it is tried
/// again).
///
/// # Errors
/// `BadInput` for a baseline that is there but cannot be used, or a local path that is missing.
pub(super) async fn at_start(
    config: &fetch::Config,
    specs: &[Spec],
    stored: Stored,
    worker: &WorkerCommand,
) -> anyhow::Result<Vec<Option<Watched>>> {
    let mut watched = Vec::new();
    for (spec, kept) in specs.iter().zip(stored.0) {
        if let Some(kept) = kept {
            kept.baseline.check_zone().map_err(|error| {
                let context = format!("model {}: its stored baseline can't be used", spec.name());
                BadInput(anyhow::Error::new(error).context(context))
            })?;
            // A place that a command named lasts until the configuration names another.
            let place = kept.place.filter(|_| kept.configured == location(&spec.model));
            tell_misfits(&spec.model, &kept.baseline);
            let kept = Watched::new(spec, Arc::new(kept.baseline), kept.active_from_ms);
            watched.push(Some(Watched { place, ..kept }));
            continue;
        }
        match fetch::load(config, location(&spec.model), &spec.model.overrides(), worker).await {
            Ok(baseline) => {
                let baseline = Arc::new(baseline);
                check(spec, &baseline).map_err(BadInput)?;
                tell_misfits(&spec.model, &baseline);
                watched.push(Some(Watched::new(spec, baseline, i64::MIN)));
            }
            Err(error) if error.is_unreachable() => {
                error!(model = spec.name(), %error, "the baseline can't be reached; trying again, the other models run");
                watched.push(None);
            }
            Err(error @ fetch::Error::Changed { .. }) => {
                error!(model = spec.name(), %error, "the baseline is being written; trying again, the other models run");
                watched.push(None);
            }
            Err(error) => {
                let context = format!("model {}: the baseline can't be used", spec.name());
                return Err(BadInput(anyhow::Error::new(error).context(context)).into());
            }
        }
    }
    Ok(watched)
}

/// What the policy can't decide on this baseline: `driftd validate` refuses it, a daemon that has been
/// running on it, or that gets a new baseline of another size, goes on and says so. How many records come
/// is not guessed from the baseline here: they are there to be counted.
pub(super) fn tell_misfits(model: &Model, baseline: &Baseline) {
    for misfit in fit::misfits(model, baseline, None) {
        let (key, why) = (misfit.key, misfit.message);
        warn!(model = model.name, key, why, "the policy does not fit its baseline");
    }
}

/// A baseline without a single usable feature watches nothing.
pub(super) fn check(spec: &Spec, baseline: &Baseline) -> anyhow::Result<()> {
    let usable = baseline.features.iter().filter(|f| f.unusable.is_none()).count();
    (usable > 0).then_some(()).with_context(|| {
        let reasons: Vec<String> = baseline
            .features
            .iter()
            .filter_map(|f| Some(format!("{} ({})", f.name, f.unusable?.reason())))
            .collect();
        format!(
            "model {}: no column of {} can be watched: {}",
            spec.name(),
            baseline.source,
            reasons.join(", ")
        )
    })
}

pub(super) fn location(model: &Model) -> &str {
    &model.drift_config.reference_dataset
}

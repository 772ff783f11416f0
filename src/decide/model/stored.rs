//! What a model remembers as bytes, and back.

use std::collections::BTreeMap;

use crate::baseline::design_effect::Effects;
use crate::codec::{Reader, Truncated, Writer};
use crate::decide::check::Checks;
use crate::decide::fault::Faults;
use crate::decide::model::ModelState;
use crate::decide::output::Output;
use crate::decide::rule::FeatureLevels;
use crate::feature::Role;

impl ModelState {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u64(u64::from(self.decided_end_ms.is_some()));
        out.i64(self.decided_end_ms.unwrap_or(0));
        out.u64(u64::from(self.warned));
        out.u64(self.levels.len() as u64);
        self.levels.iter().for_each(|levels| levels.encode(&mut out));
        out.u64(self.learnt_effects.as_ref().map_or(0, |effects| effects.len() as u64));
        self.learnt_effects.iter().flatten().for_each(|effects| effects.encode(&mut out));
        let mut faults = Writer::default();
        self.faults.encode(&mut faults);
        out.bytes(&faults.into_bytes());
        for role in Role::OUTPUTS {
            self.outputs.get(&role).unwrap_or(&Output::default()).encode(&mut out);
        }
        self.checks.encode(&mut out);
        out.u64(u64::from(self.warned_since_ms.is_some()));
        out.i64(self.warned_since_ms.unwrap_or(0));
        out.into_bytes()
    }

    /// Reads what `encode` wrote in that version of the state; version 1 had learnt no design effects,
    /// version 2 had no test of an output, and the first of version 3 only that of the prediction.
    /// What the sequential test remembers is stored beside it: it can't be read without its rule.
    pub fn decode(version: u8, body: &[u8], n_features: usize) -> Result<Self, Truncated> {
        let mut input = Reader::new(body);
        let known = input.u64()? != 0;
        let decided = input.i64()?;
        let warned = input.u64()? != 0;
        let n = input.len_at_most(n_features)?;
        let levels = (0..n).map(|_| FeatureLevels::decode(&mut input)).collect::<Result<_, _>>()?;
        let n_learnt = if version < 2 { 0 } else { input.len_at_most(n_features)? };
        let learnt =
            (0..n_learnt).map(|_| Effects::decode(&mut input)).collect::<Result<Vec<_>, _>>()?;
        let learnt_effects = Some(learnt).filter(|learnt| !learnt.is_empty());
        let faults = match version < 2 {
            true => Faults::default(),
            false => Faults::decode(&mut Reader::new(input.bytes()?), n_features)?,
        };
        let mut outputs = BTreeMap::new();
        for role in Role::OUTPUTS {
            let is_earlier = role != Role::Prediction && input.is_empty();
            if version >= 3 && !is_earlier {
                outputs.insert(role, Output::decode(role, &mut input)?);
            }
        }
        outputs.retain(|_, output| *output != Output::default());
        // A state that ends here is of a release without checks.
        let checks = match input.is_empty() {
            true => Checks::default(),
            false => Checks::decode(&mut input)?,
        };
        // One that ends here does not say since when there is a warning.
        let is_earlier = input.is_empty();
        let has_since = !is_earlier && input.u64()? != 0;
        let since_ms = if is_earlier { 0 } else { input.i64()? };
        Ok(Self {
            levels,
            faults,
            decided_end_ms: known.then_some(decided),
            warned,
            warned_since_ms: has_since.then_some(since_ms),
            learnt_effects,
            outputs,
            sequential: None,
            checks,
        })
    }
}

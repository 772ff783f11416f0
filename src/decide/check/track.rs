//! What a model remembers of its checks: violated after 3 of 5 panes, passed again after 5 in a row.

use xxhash_rust::xxh3::xxh3_64;

use crate::codec::{Reader, Truncated, Writer};
use crate::decide::check::{CHECKS_MAX, Check, Measured};
use crate::decide::rule::LevelState;

/// One per check of the configuration, in its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checks {
    tracks: Vec<Track>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Track {
    /// Hash of the check as it is written: another one starts anew.
    check: u64,
    level: LevelState,
    /// It was measured at least once.
    known: bool,
    /// Start of the first pane of those that violated it.
    since_ms: i64,
    /// People have been told.
    told: bool,
}

/// A violated check that people have not been told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Untold {
    /// Its position in the configuration.
    pub check: usize,
    pub since_ms: i64,
}

impl Checks {
    /// Takes in one pane, which begins at `start_ms`; where nothing was measured a check stays as it is.
    pub fn push(&mut self, checks: &[Check], measured: &[Option<Measured>], start_ms: i64) {
        self.align(checks);
        for (track, measured) in self.tracks.iter_mut().zip(measured) {
            let Some(measured) = measured else { continue };
            let was_quiet = !track.level.is_on() && track.level.crossings() == 0;
            track.level.push(!measured.passed, measured.passed);
            track.known = true;
            if !measured.passed && was_quiet {
                track.since_ms = start_ms;
            }
            track.told &= track.level.is_on();
        }
    }

    /// Goes over to `checks`: those that are as they were keep what is known of them.
    pub fn align(&mut self, checks: &[Check]) {
        let keys: Vec<u64> = checks.iter().map(key).collect();
        if self.tracks.iter().map(|track| track.check).eq(keys.iter().copied()) {
            return;
        }
        let known = |key: u64| self.tracks.iter().find(|track| track.check == key).copied();
        let fresh = |key| Track { check: key, ..Track::default() };
        self.tracks = keys.into_iter().map(|key| known(key).unwrap_or(fresh(key))).collect();
    }

    /// Since when the check is violated, if it is; `None` if it was never measured.
    pub fn violated(&self, check: usize) -> Option<Option<i64>> {
        let track = self.tracks.get(check).filter(|track| track.known)?;
        Some(track.level.is_on().then_some(track.since_ms))
    }

    /// None of those that people hear of is violated, as far as they have been measured; false before any has,
    /// as with a new baseline.
    pub fn pass(&self, checks: &[Check]) -> bool {
        let mut told = self.tracks.iter().zip(checks).filter(|(_, check)| check.severity.is_told());
        let known = checks.is_empty() || self.tracks.iter().any(|track| track.known);
        known && told.all(|(track, _)| !track.level.is_on())
    }

    /// Violated checks that people have yet to hear of.
    pub fn untold(&self, checks: &[Check]) -> Vec<Untold> {
        let all = self.tracks.iter().zip(checks).enumerate();
        all.filter(|(_, (track, check))| {
            track.level.is_on() && !track.told && check.severity.is_told()
        })
        .map(|(check, (track, _))| Untold { check, since_ms: track.since_ms })
        .collect()
    }

    /// People have been told.
    pub fn told(&mut self, untold: Untold) {
        if let Some(track) = self.tracks.get_mut(untold.check) {
            track.told = true;
        }
    }

    pub fn encode(&self, out: &mut Writer) {
        out.u64(self.tracks.len() as u64);
        for track in &self.tracks {
            out.u64(track.check);
            track.level.encode(out);
            out.u64(u64::from(track.known));
            out.i64(track.since_ms);
            out.u64(u64::from(track.told));
        }
    }

    pub fn decode(input: &mut Reader<'_>) -> Result<Self, Truncated> {
        let n = input.len_at_most(CHECKS_MAX)?;
        let mut track = || {
            Ok(Track {
                check: input.u64()?,
                level: LevelState::decode(input)?,
                known: input.u64()? != 0,
                since_ms: input.i64()?,
                told: input.u64()? != 0,
            })
        };
        Ok(Self { tracks: (0..n).map(|_| track()).collect::<Result<_, _>>()? })
    }
}

/// Its condition and what it is about; not what it is called, and what it is to people.
fn key(check: &Check) -> u64 {
    let bare = Check { name: None, severity: Default::default(), ..check.clone() };
    xxh3_64(serde_json::to_string(&bare).unwrap_or_default().as_bytes())
}

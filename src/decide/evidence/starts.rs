//! At which panes a change may have begun: a dyadic grid, dense near the present and thin behind.

/// Starts that each level of the grid keeps.
const PER_LEVEL: u64 = 6;
/// Levels of the grid for panes of five minutes and longer, and for shorter ones or thin streams: the
/// oldest start is 1281 to 1536, or 5121 to 6144, panes back.
pub const LEVELS: u32 = 9;
pub const LEVELS_LONG: u32 = 11;
/// The most starts that are ever kept.
pub(super) const MOST: usize = 64;

/// The starts that are kept after pane `t` (panes count from 1), ascending, each with its weight.
///
/// Level `l` keeps the last six multiples of `2^l` that are at most `t - 1`; each adds `2^l / levels` to
/// the weight of its start. Over all time the weights handed out are at most `t` plus a constant, which
/// bounds the expectation of the sum of e-values. `starts(t + 1)` is within `starts(t)` and `{t}`.
pub(super) fn starts(t: u64, levels: u32) -> Vec<(u64, f64)> {
    grid(t, levels, PER_LEVEL)
}

/// The oldest start that these levels keep, in panes before the present, at the most.
pub(super) fn oldest(levels: u32) -> u64 {
    PER_LEVEL << levels.saturating_sub(1)
}

#[expect(clippy::cast_precision_loss, reason = "steps are small powers of two")]
pub(super) fn grid(t: u64, levels: u32, per_level: u64) -> Vec<(u64, f64)> {
    let mut found: Vec<(u64, u64)> = Vec::new();
    let Some(last) = t.checked_sub(1) else { return Vec::new() };
    for level in 0..levels {
        let step = 1 << level;
        let newest = last / step;
        found.extend(
            (0..per_level).map_while(|back| Some((newest.checked_sub(back)? * step, step))),
        );
    }
    found.sort_unstable();
    found
        .chunk_by(|a, b| a.0 == b.0)
        .map(|same| {
            let steps: u64 = same.iter().map(|&(_, step)| step).sum();
            (same[0].0, steps as f64 / f64::from(levels))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::decide::evidence::golden;

    #[test]
    fn the_grid_is_the_golden_one() {
        let golden = golden::section("dyadic");
        for case in golden.as_array().unwrap() {
            let number = |key: &str| case[key].as_u64().unwrap();
            let levels = u32::try_from(number("levels")).unwrap();
            let found = grid(number("t"), levels, number("per_level"));
            let starts: Vec<Value> = found.iter().map(|&(start, _)| start.into()).collect();
            assert_eq!(Value::from(starts), case["starts"]);
            for ((_, weight), expected) in found.iter().zip(golden::numbers(&case["weights"])) {
                golden::close(*weight, expected, "weight");
            }
        }
    }

    #[test]
    fn nothing_is_forgotten_that_is_needed_again() {
        for levels in [LEVELS, LEVELS_LONG] {
            for t in 1..20_000 {
                let now = starts(t, levels);
                for (start, _) in starts(t + 1, levels) {
                    assert!(
                        start == t || now.iter().any(|&(kept, _)| kept == start),
                        "{start} at {t}"
                    );
                }
                assert!(now.len() <= 36 && now.len() <= MOST);
            }
        }
    }
}

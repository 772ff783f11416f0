//! Baselines in several files: a folder or prefix that still changes is still being written.

use std::time::Duration;

use tokio::time::Instant;

/// What the last looks have found, a slot a model.
pub(super) struct Settling {
    /// How long what is found has to stay the same.
    apart: Duration,
    seen: Vec<Option<Seen>>,
}

struct Seen {
    digest: String,
    since: Instant,
}

/// What a look says of a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// It was not there at the last look.
    New,
    /// It was, but not long enough ago.
    Waiting,
    /// Every look since one that is long enough ago has found it.
    Settled,
}

impl Settling {
    pub(super) fn new(models: usize, apart: Duration) -> Self {
        Self { apart, seen: std::iter::repeat_with(|| None).take(models).collect() }
    }

    pub(super) fn see(&mut self, model: usize, digest: &str, now: Instant) -> Sight {
        match &self.seen[model] {
            Some(seen) if seen.digest == digest => {
                let is_long = now.saturating_duration_since(seen.since) >= self.apart;
                if is_long { Sight::Settled } else { Sight::Waiting }
            }
            Some(_) | None => {
                self.seen[model] = Some(Seen { digest: digest.to_owned(), since: now });
                Sight::New
            }
        }
    }

    /// Nothing new is there, or nothing that can be read.
    pub(super) fn forget(&mut self, model: usize) {
        self.seen[model] = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_the_same_for_an_interval_has_settled() {
        let mut settling = Settling::new(2, Duration::from_secs(60));
        let start = Instant::now();
        let mut see =
            |digest: &str, s: u64| settling.see(1, digest, start + Duration::from_secs(s));
        // A part more at every look, as they are uploaded.
        assert_eq!([see("1 of 3", 0), see("2 of 3", 60), see("3 of 3", 120)], [Sight::New; 3]);
        // A file event in between is a look, but no interval.
        assert_eq!([see("3 of 3", 121), see("3 of 3", 179)], [Sight::Waiting; 2]);
        assert_eq!(see("3 of 3", 180), Sight::Settled);
        // What was seen before something else begins anew.
        assert_eq!([see("2 of 3", 200), see("3 of 3", 201)], [Sight::New; 2]);
        assert_eq!(see("3 of 3", 260), Sight::Waiting);
        settling.forget(1);
        assert_eq!(settling.see(1, "3 of 3", start + Duration::from_secs(300)), Sight::New);
        assert_eq!(settling.see(0, "3 of 3", start + Duration::from_secs(900)), Sight::New);
    }
}

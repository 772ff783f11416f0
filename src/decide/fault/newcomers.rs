//! Names that came when a feature went: it may have been renamed.

use crate::codec::Reader;
use crate::codec::Truncated;
use crate::codec::Writer;
use crate::decode::strangers::Strangers;

/// Names that the baseline does not know, as looks go by. All of it is stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Newcomers {
    /// Those of looks in which every feature was there; `None` before the first.
    usual: Option<Strangers>,
    /// Of the look before the present one, which may hold the beginning of a fault.
    recent: Strangers,
    fresh: Strangers,
    came: Strangers,
}

impl Newcomers {
    /// Takes in the names of a pane.
    pub(super) fn note(&mut self, names: &Strangers) {
        self.fresh.add(names);
    }

    /// A look has ended; `is_gone`: some feature has gone, so what is new may be its name.
    pub(super) fn look(&mut self, is_gone: bool) {
        let (fresh, recent) = (std::mem::take(&mut self.fresh), &mut self.recent);
        if is_gone {
            recent.add(&fresh);
            if let Some(usual) = &self.usual {
                self.came.add(&recent.without(usual));
            }
        } else {
            self.usual.get_or_insert_default().add(recent);
            *recent = fresh;
            self.came = Strangers::default();
        }
    }

    /// What has come since a feature is gone.
    pub(super) fn came(&self) -> &Strangers {
        &self.came
    }

    pub(super) fn encode(&self, out: &mut Writer) {
        out.u64(u64::from(self.usual.is_some()));
        for names in self.usual.iter().chain([&self.recent, &self.fresh, &self.came]) {
            names.encode(out);
        }
    }

    pub(super) fn decode(input: &mut Reader<'_>) -> Result<Self, Truncated> {
        let is_known = input.u64()? != 0;
        let usual = is_known.then(|| Strangers::decode(input)).transpose()?;
        let mut names = || Strangers::decode(input);
        Ok(Self { usual, recent: names()?, fresh: names()?, came: names()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(of: &[&str]) -> Strangers {
        of.iter().copied().collect()
    }

    #[test]
    fn only_what_came_with_the_fault_is_a_newcomer() {
        let mut all = Newcomers::default();
        for _ in 0..3 {
            all.note(&names(&["id", "ts"]));
            all.look(false);
        }
        // The look before may hold the beginning, and hold it back it must not.
        all.note(&names(&["id", "ts", "value"]));
        all.look(false);
        assert!(all.came().is_empty());
        all.note(&names(&["ts", "value", "amount_eur"]));
        all.look(true);
        assert_eq!(all.came(), &names(&["amount_eur", "value"]));
        let mut out = Writer::default();
        all.encode(&mut out);
        let mut all = Newcomers::decode(&mut Reader::new(&out.into_bytes())).unwrap();
        all.look(true);
        assert_eq!(all.came(), &names(&["amount_eur", "value"]));
        all.look(false);
        assert!(all.came().is_empty());
    }

    #[test]
    fn nothing_is_said_before_it_is_known_what_is_usual() {
        let mut all = Newcomers::default();
        all.note(&names(&["id"]));
        all.look(true);
        assert!(all.came().is_empty());
    }
}

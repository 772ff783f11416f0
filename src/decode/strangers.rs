//! Names that records carry and the model does not know: a few of them, for people only.

use std::collections::BTreeSet;

use crate::codec::Reader;
use crate::codec::Truncated;
use crate::codec::Writer;

/// Names that are kept: the first ones in the order of the alphabet, whatever order they came in.
const MOST: usize = 16;
/// Longer names, in bytes, are nobody's.
const LONGEST: usize = 48;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strangers {
    names: BTreeSet<Box<str>>,
}

impl Strangers {
    /// Takes in a name that is short, and made of what names are made of: it goes into messages.
    pub fn note(&mut self, name: &str) {
        let is_usual = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
        if name.is_empty() || name.len() > LONGEST || !name.chars().all(is_usual) {
            return;
        }
        if !self.names.contains(name) {
            self.names.insert(name.into());
            self.bound();
        }
    }

    pub fn add(&mut self, other: &Strangers) {
        if !other.names.is_subset(&self.names) {
            self.names.extend(other.names.iter().cloned());
            self.bound();
        }
    }

    fn bound(&mut self) {
        while self.names.len() > MOST {
            self.names.pop_last();
        }
    }

    /// Those that are not among `known`.
    pub fn without(&self, known: &Strangers) -> Strangers {
        Strangers { names: self.names.difference(&known.names).cloned().collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }

    pub fn encode(&self, out: &mut Writer) {
        out.u64(self.names.len() as u64);
        self.names.iter().for_each(|name| out.str(name));
    }

    pub fn decode(input: &mut Reader<'_>) -> Result<Self, Truncated> {
        let mut read = Self::default();
        for _ in 0..input.len_at_most(MOST)? {
            read.note(input.str()?);
        }
        Ok(read)
    }
}

impl<'a> FromIterator<&'a str> for Strangers {
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        let mut all = Self::default();
        names.into_iter().for_each(|name| all.note(name));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_comes_few_names_are_kept_and_the_order_does_not_matter() {
        let names: Vec<String> = (0..100).map(|n| format!("f{n:03}")).collect();
        let forth: Strangers = names.iter().map(String::as_str).collect();
        let back: Strangers = names.iter().rev().map(String::as_str).collect();
        assert_eq!(forth, back);
        assert_eq!(forth.iter().count(), MOST);
        let (mut one, two) = (
            names[50..].iter().map(String::as_str).collect::<Strangers>(),
            names[..50].iter().map(String::as_str).collect::<Strangers>(),
        );
        one.add(&two);
        assert_eq!(one, forth);
        let odd = ["", "a b", "<script>", "`x`", "new\nline", &"x".repeat(49)];
        assert!(odd.into_iter().collect::<Strangers>().is_empty());
        let good = ["größe", "a.b-c_d:e/f"].into_iter().collect::<Strangers>();
        assert_eq!(good.iter().count(), 2);
        assert_eq!(
            good.without(&["größe"].into_iter().collect()).iter().next(),
            Some("a.b-c_d:e/f")
        );
        let mut out = Writer::default();
        forth.encode(&mut out);
        assert_eq!(Strangers::decode(&mut Reader::new(&out.into_bytes())), Ok(forth));
    }
}

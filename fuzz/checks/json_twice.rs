//! Which keys come twice, as far as it matters.

use driftd::decode::{FeatureNames, Pointer};

use super::json_model::Model;
use super::json_tree::Tree;

/// Between which the truth is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Maybe {
    pub must: bool,
    pub may: bool,
}

impl Model<'_> {
    /// Rows of a record without a time, or with unusable names, are not looked at.
    pub fn duplicate(&self, tree: &Tree, has_time: bool) -> Maybe {
        let fields = self.fields;
        let mut outer: Vec<&str> = Vec::new();
        outer.extend(fields.event_time.as_ref().map(|time| time.pointer.as_str()));
        outer.extend(fields.filter.as_ref().map(|filter| filter.pointer.as_str()));
        outer.extend(fields.model.iter().chain(&fields.rows).map(Pointer::as_str));
        let mut listed_twice = false;
        match &fields.feature_names {
            Some(FeatureNames::List(list)) => listed_twice = has_twice(list.iter()),
            Some(FeatureNames::At(pointer)) => {
                outer.push(pointer.as_str());
                if let Some(Tree::Array(items)) = tree.pointer(pointer.as_str()) {
                    listed_twice = items.iter().enumerate().any(|(i, x)| items[..i].contains(x));
                }
            }
            None => {}
        }
        let rows = match &fields.rows {
            None => std::slice::from_ref(tree),
            Some(rows) => match tree.pointer(rows.as_str()) {
                Some(Tree::Array(rows)) => rows.as_slice(),
                _ => &[],
            },
        };
        let looks_at_rows = fields.rows.is_none() || (has_time && self.names(tree).is_ok());
        let must = outer.iter().any(|pointer| key_twice(tree, pointer))
            || (looks_at_rows && rows.iter().any(|row| self.duplicate_in_row(row)));
        Maybe { must, may: must || listed_twice || has_key_twice(tree) }
    }

    fn duplicate_in_row(&self, row: &Tree) -> bool {
        let features = self.fields.features.as_ref().map_or("/features", Pointer::as_str);
        let object = match row.pointer(features) {
            Some(object @ Tree::Object(_)) => object,
            None if self.fields.features.is_none() => row,
            _ => &Tree::Null,
        };
        let Tree::Object(entries) = object else {
            return row.is_object() && self.path_twice(row, features);
        };
        let known = entries.iter().map(|(key, _)| key).filter(|key| self.index(key).is_some());
        has_twice(known) || self.path_twice(row, features)
    }

    fn path_twice(&self, row: &Tree, features: &str) -> bool {
        key_twice(row, features) || key_twice(row, self.prediction())
    }
}

/// Whether a step of the pointer comes twice where the pointer leads.
fn key_twice(tree: &Tree, pointer: &str) -> bool {
    let mut ends: Vec<usize> = pointer.match_indices('/').map(|(at, _)| at).collect();
    ends.push(pointer.len());
    ends.windows(2).any(|ends| {
        let (parent, step) = (&pointer[..ends[0]], &pointer[ends[0] + 1..ends[1]]);
        let step = step.replace("~1", "/").replace("~0", "~");
        match tree.pointer(parent) {
            Some(Tree::Object(entries)) => {
                entries.iter().filter(|(key, _)| *key == step).count() > 1
            }
            _ => false,
        }
    })
}

/// Whether any object has a key twice.
fn has_key_twice(tree: &Tree) -> bool {
    match tree {
        Tree::Array(items) => items.iter().any(has_key_twice),
        Tree::Object(entries) => {
            has_twice(entries.iter().map(|(key, _)| key))
                || entries.iter().any(|(_, value)| has_key_twice(value))
        }
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) => false,
    }
}

fn has_twice<'a>(names: impl Iterator<Item = &'a String>) -> bool {
    let mut seen = std::collections::BTreeSet::new();
    names.into_iter().any(|name| !seen.insert(name))
}

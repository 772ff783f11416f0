//! Puts shorthands in their place: a single model at the top level, a `drift_config`'s keys on the model.

use crate::config::document::Entry;
use crate::config::document::Node;
use crate::config::document::Tree;
use crate::config::document::join;
use crate::config::fault::Fault;
use crate::config::fault::Mark;
use crate::config::fault::did_you_mean;
use crate::config::schema::Keys;

/// Rewrites `root` to the form of the structs; every node keeps the place and the path it was written
/// with. False when there is no model at all, which is reported.
pub(super) fn fold(root: &mut Node, keys: &Keys, faults: &mut Vec<Fault>) -> bool {
    let (at, path) = (root.mark, root.path.clone());
    let Tree::Mapping(entries) = &mut root.tree else { return true };
    let below = |key: &String| keys.model.contains(key) || keys.drift.contains(key);
    let has_models = entries.iter().any(|entry| entry.key == "models" && !entry.node.is_null());
    let known = || keys.config.iter().chain(&keys.model).chain(&keys.drift).map(String::as_str);
    refuse_unknown(entries, &path, faults, known);
    let (single, rest): (Vec<Entry>, Vec<Entry>) =
        std::mem::take(entries).into_iter().partition(|entry| below(&entry.key));
    *entries = rest;
    let nothing = !has_models && single.is_empty();
    if has_models {
        for entry in single {
            let message = "describes a model; with `models`, put it into one of them";
            faults.push(Fault::new(entry.mark, &entry.node.path, message));
        }
    } else if nothing {
        let message = "there is nothing to watch: give `topic` and `drift_config`, or `models`";
        faults.push(Fault::new(at, &path, message));
        entries.retain(|entry| entry.key != "models");
        entries.push(implied("models", root_list(at, &path, Vec::new())));
    } else {
        let mark = single[0].mark;
        let model = Node { mark, path: path.clone(), tree: Tree::Mapping(single) };
        entries.retain(|entry| entry.key != "models");
        entries.push(implied("models", root_list(mark, &path, vec![model])));
    }
    let models = entries.iter_mut().find(|entry| entry.key == "models");
    if let Some(Entry { node: Node { tree: Tree::Sequence(models), .. }, .. }) = models {
        models.iter_mut().for_each(|model| fold_model(model, keys, faults, !has_models));
    }
    !nothing
}

fn root_list(mark: Mark, path: &str, items: Vec<Node>) -> Node {
    Node { mark, path: path.to_owned(), tree: Tree::Sequence(items) }
}

fn implied(key: &str, node: Node) -> Entry {
    Entry { key: key.to_owned(), mark: node.mark, node }
}

fn fold_model(model: &mut Node, keys: &Keys, faults: &mut Vec<Fault>, checked: bool) {
    let (mark, path) = (model.mark, model.path.clone());
    let Tree::Mapping(entries) = &mut model.tree else { return };
    if !checked {
        let known = || keys.model.iter().chain(&keys.drift).map(String::as_str);
        refuse_unknown(entries, &path, faults, known);
    }
    if !entries.iter().any(|entry| entry.key == "name" && !entry.node.is_null())
        && let Some(topic) = entries.iter().find(|entry| entry.key == "topic")
    {
        let name = Entry { key: "name".to_owned(), ..topic.clone() };
        entries.retain(|entry| entry.key != "name");
        entries.push(name);
    }
    let (lifted, rest): (Vec<Entry>, Vec<Entry>) =
        std::mem::take(entries).into_iter().partition(|entry| keys.drift.contains(&entry.key));
    *entries = rest;
    if lifted.is_empty() {
        return;
    }
    entries.retain(|entry| entry.key != "drift_config" || !entry.node.is_null());
    match entries.iter_mut().find(|entry| entry.key == "drift_config") {
        None => {
            let node = Node { mark, path, tree: Tree::Mapping(lifted) };
            entries.push(implied("drift_config", node));
        }
        Some(block) => {
            let Tree::Mapping(own) = &mut block.node.tree else { return };
            for entry in lifted {
                match own.iter().find(|other| other.key == entry.key) {
                    None => own.push(entry),
                    Some(first) => {
                        let line = first.mark.line;
                        let message =
                            format!("is given twice; also in `drift_config`, line {line}");
                        faults.push(Fault::new(entry.mark, &entry.node.path, message));
                    }
                }
            }
        }
    }
}

/// Reports and removes the keys that are not in `known`.
pub(super) fn refuse_unknown<'a, I: Iterator<Item = &'a str>>(
    entries: &mut Vec<Entry>,
    path: &str,
    faults: &mut Vec<Fault>,
    known: impl Fn() -> I,
) {
    entries.retain(|entry| {
        let fine = known().any(|name| name == entry.key);
        if !fine {
            faults.push(unknown_key(entry, path, &known));
        }
        fine
    });
}

/// The fault of a key that is not one of `known`.
pub(super) fn unknown_key<'a, I: Iterator<Item = &'a str>>(
    entry: &Entry,
    path: &str,
    known: impl Fn() -> I,
) -> Fault {
    let guess = did_you_mean(&entry.key, known());
    let message = if path == "kafka" && entry.key.contains('.') {
        "is an option of librdkafka; put it under `kafka.options`".to_owned()
    } else if guess.is_empty() {
        let mut names: Vec<&str> = known().collect();
        names.sort_unstable();
        format!("unknown key; known here: {}", names.join(", "))
    } else {
        format!("unknown key{guess}")
    };
    Fault::new(entry.mark, &join(path, &entry.key), message)
}

//! YAML text to a tree that knows where everything stands; scalars keep their text.

use std::collections::HashMap;

use saphyr_parser::Event;
use saphyr_parser::Parser;
use saphyr_parser::ScalarStyle;
use saphyr_parser::ScanError;
use saphyr_parser::StrInput;
use saphyr_parser::Tag;

use crate::config::fault::Fault;
use crate::config::fault::Mark;

/// Larger files are refused unread: a configuration is written by people.
pub(super) const MAX_BYTES: usize = 1 << 20;
const MAX_DEPTH: usize = 32;
/// Aliases are copied, so nested ones could grow without bound.
const MAX_NODES: usize = 100_000;

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) mark: Mark,
    /// As people would write it: `models[0].pane`.
    pub(super) path: String,
    pub(super) tree: Tree,
}

#[derive(Clone, Debug)]
pub(super) enum Tree {
    Scalar(Scalar),
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) mark: Mark,
    pub(super) node: Node,
}

#[derive(Clone, Debug)]
pub(super) struct Scalar {
    pub(super) text: String,
    /// Written without quotes.
    pub(super) plain: bool,
    /// What stood in the file, where variables were filled in.
    pub(super) template: Option<String>,
    /// A variable in it has no value; that is reported already.
    pub(super) broken: bool,
}

impl Scalar {
    /// `key:` with nothing, `~` or `null`: the same as not writing the key.
    pub(super) fn is_null(&self) -> bool {
        self.plain
            && self.template.is_none()
            && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// What a message may show: never a variable's value, which may be a secret.
    pub(super) fn shown(&self) -> &str {
        self.template.as_deref().unwrap_or(&self.text)
    }
}

impl Node {
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.tree {
            Tree::Mapping(entries) => entries,
            Tree::Scalar(_) | Tree::Sequence(_) => &[],
        }
    }

    pub(super) fn items(&self) -> &[Node] {
        match &self.tree {
            Tree::Sequence(items) => items,
            Tree::Scalar(_) | Tree::Mapping(_) => &[],
        }
    }

    pub(super) fn scalar(&self) -> Option<&Scalar> {
        match &self.tree {
            Tree::Scalar(scalar) => Some(scalar),
            Tree::Sequence(_) | Tree::Mapping(_) => None,
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    pub(super) fn is_null(&self) -> bool {
        self.scalar().is_some_and(Scalar::is_null)
    }

    /// Calls `visit` for every scalar value, with its place.
    pub(super) fn for_each_scalar(&mut self, visit: &mut impl FnMut(&mut Scalar, Mark, &str)) {
        match &mut self.tree {
            Tree::Scalar(scalar) => visit(scalar, self.mark, &self.path),
            Tree::Sequence(items) => items.iter_mut().for_each(|node| node.for_each_scalar(visit)),
            Tree::Mapping(entries) => {
                entries.iter_mut().for_each(|entry| entry.node.for_each_scalar(visit));
            }
        }
    }

    fn set_paths(&mut self, path: String) {
        match &mut self.tree {
            Tree::Scalar(_) => {}
            Tree::Sequence(items) => {
                for (i, node) in items.iter_mut().enumerate() {
                    node.set_paths(format!("{path}[{i}]"));
                }
            }
            Tree::Mapping(entries) => {
                for entry in entries {
                    entry.node.set_paths(join(&path, &entry.key));
                }
            }
        }
        self.path = path;
    }
}

/// `parent.key`.
pub(super) fn join(parent: &str, key: &str) -> String {
    if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
}

/// Reads one YAML document.
///
/// # Errors
///
/// The first fault of syntax, or every key that is given twice.
pub(super) fn parse(text: &str) -> Result<Node, Vec<Fault>> {
    if text.len() > MAX_BYTES {
        let message = format!("is larger than {MAX_BYTES} bytes, which is the most");
        return Err(vec![Fault::new(Mark { line: 1, column: 1 }, "", message)]);
    }
    let mut builder = Builder {
        parser: Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text)),
        anchors: HashMap::new(),
        nodes: 0,
        faults: Vec::new(),
    };
    match builder.document() {
        Ok(mut node) if builder.faults.is_empty() => {
            node.set_paths(String::new());
            Ok(node)
        }
        Ok(_) => Err(builder.faults),
        Err(fault) => {
            builder.faults.push(fault);
            Err(builder.faults)
        }
    }
}

struct Builder<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    faults: Vec<Fault>,
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Mark), Fault> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, mark(&span.start))),
            Some(Err(error)) => Err(syntax(&error)),
            None => Ok((Event::StreamEnd, Mark::default())),
        }
    }

    fn document(&mut self) -> Result<Node, Fault> {
        loop {
            let (event, mark) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
                Event::StreamEnd | Event::DocumentEnd => {
                    return Err(Fault::new(Mark { line: 1, column: 1 }, "", "the file is empty"));
                }
                first => {
                    let node = self.node(first, mark, 0)?;
                    self.end()?;
                    return Ok(node);
                }
            }
        }
    }

    fn end(&mut self) -> Result<(), Fault> {
        loop {
            let (event, mark) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(()),
                Event::DocumentStart(_) => {
                    let message = "a second document begins here; the configuration is one";
                    return Err(Fault::new(mark, "", message));
                }
                _ => {}
            }
        }
    }

    fn node(&mut self, event: Event<'a>, mark: Mark, depth: usize) -> Result<Node, Fault> {
        if depth > MAX_DEPTH {
            let message = format!("is nested deeper than {MAX_DEPTH} levels");
            return Err(Fault::new(mark, "", message));
        }
        self.count(1, mark)?;
        let before = self.nodes;
        let (tree, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && !is_string_tag(tag.as_deref());
                let text = text.into_owned();
                (Tree::Scalar(Scalar { text, plain, template: None, broken: false }), anchor)
            }
            Event::SequenceStart(anchor, _) => (self.sequence(depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.mapping(mark, depth)?, anchor),
            Event::Alias(anchor) => return self.alias(anchor, mark),
            _ => return Err(Fault::new(mark, "", "expected a value here")),
        };
        let node = Node { mark, path: String::new(), tree };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before + 1));
        }
        Ok(node)
    }

    fn count(&mut self, nodes: usize, mark: Mark) -> Result<(), Fault> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            let message = format!("has more than {MAX_NODES} values; do aliases repeat aliases?");
            return Err(Fault::new(mark, "", message));
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, mark: Mark) -> Result<Node, Fault> {
        let Some((node, size)) = self.anchors.get(&anchor) else {
            return Err(Fault::new(mark, "", "this alias stands inside the anchor that it names"));
        };
        let (node, size) = (node.clone(), *size);
        self.count(size, mark)?;
        Ok(node)
    }

    fn sequence(&mut self, depth: usize) -> Result<Tree, Fault> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Tree::Sequence(items)),
                (event, mark) => items.push(self.node(event, mark, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, start: Mark, depth: usize) -> Result<Tree, Fault> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merged: Vec<Node> = Vec::new();
        loop {
            let (event, mark) = self.next()?;
            let key = match event {
                Event::MappingEnd => break,
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(Fault::new(mark, "", "a key must be text")),
            };
            let (event, value_mark) = self.next()?;
            let node = self.node(event, value_mark, depth + 1)?;
            if key == "<<" {
                match node.tree {
                    Tree::Sequence(items) => merged.extend(items),
                    Tree::Mapping(_) | Tree::Scalar(_) => merged.push(node),
                }
            } else if let Some(first) = entries.iter().find(|entry| entry.key == key) {
                let message = format!("`{key}` is given twice; first in line {}", first.mark.line);
                self.faults.push(Fault::new(mark, "", message));
            } else {
                entries.push(Entry { key, mark, node });
            }
        }
        for node in merged {
            let Tree::Mapping(more) = node.tree else {
                return Err(Fault::new(start, "", "`<<` takes a mapping, or a list of mappings"));
            };
            for entry in more {
                if !entries.iter().any(|own| own.key == entry.key) {
                    entries.push(entry);
                }
            }
        }
        Ok(Tree::Mapping(entries))
    }
}

fn is_string_tag(tag: Option<&Tag>) -> bool {
    tag.is_some_and(|tag| tag.suffix == "str")
}

fn mark(marker: &saphyr_parser::Marker) -> Mark {
    Mark { line: marker.line(), column: marker.col() + 1 }
}

fn syntax(error: &ScanError) -> Fault {
    Fault::new(mark(error.marker()), "", format!("is not YAML: {}", error.info()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let shown =
            |fault: Fault| format!("{}:{} {}", fault.mark.line, fault.mark.column, fault.message);
        parse(text).unwrap_err().into_iter().map(shown).collect()
    }

    #[test]
    fn scalars_keep_their_text() {
        let node = parse("a: no\nb: 1.10\nc: '012'\n").unwrap();
        let text = |key: &str| node.get(key).unwrap().scalar().unwrap().text.clone();
        assert_eq!((text("a"), text("b"), text("c")), ("no".into(), "1.10".into(), "012".into()));
        assert!(!node.get("c").unwrap().scalar().unwrap().plain);
    }

    #[test]
    fn values_know_where_they_stand() {
        let node = parse("a:\n  - x\n  - b: y\n").unwrap();
        let inner = node.get("a").unwrap().items()[1].get("b").unwrap();
        assert_eq!((inner.mark, inner.path.as_str()), (Mark { line: 3, column: 8 }, "a[1].b"));
    }

    #[test]
    fn every_key_that_is_given_twice_is_named() {
        let found = faults("a: 1\nb: {c: 1, c: 2}\na: 2\n");
        assert_eq!(
            found,
            ["2:11 `c` is given twice; first in line 2", "3:1 `a` is given twice; first in line 1"]
        );
    }

    #[test]
    fn anchors_are_copied_and_merged() {
        let node = parse("a: &x {k: 1, l: 2}\nb: *x\nc: {<<: *x, k: 3}\n").unwrap();
        assert_eq!(node.get("b").unwrap().get("k").unwrap().path, "b.k");
        let merged = node.get("c").unwrap();
        assert_eq!(merged.get("k").unwrap().scalar().unwrap().text, "3");
        assert_eq!(merged.get("l").unwrap().scalar().unwrap().text, "2");
    }

    #[test]
    fn hostile_documents_are_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..10 {
            let before = format!("*a{}", i - 1);
            bomb += &format!("a{i}: &a{i} [{}]\n", [before.as_str(); 10].join(", "));
        }
        assert!(faults(&bomb)[0].contains("more than 100000 values"));
        let deep = format!("a: {}{}", "[".repeat(60), "]".repeat(60));
        assert!(faults(&deep)[0].contains("nested deeper"));
        assert!(faults("a: &x [*x]\n")[0].contains("alias"));
        assert!(faults("")[0].contains("empty"));
        assert!(faults("a: 1\n---\nb: 2\n")[0].starts_with("2:1"));
        assert!(faults("a: [1,\n")[0].contains("is not YAML"));
        assert!(faults("a: *nowhere\n")[0].contains("anchor"));
    }
}

//! Every link of a document leads to a file that is there, and to a heading in it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{documents, root};

/// Targets of `[text](target)` outside of code.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        // Every other part between back quotes is code.
        let prose: String = line.split('`').step_by(2).collect();
        if fenced {
            continue;
        }
        for part in prose.split("](").skip(1) {
            found.extend(part.split(')').next().map(str::to_owned));
        }
    }
    found
}

/// The names that headings get on GitHub: small letters, without punctuation, spaces as hyphens.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced || !line.starts_with('#') {
            continue;
        }
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        found.insert(heading.chars().filter(kept).collect::<String>().replace(' ', "-"));
    }
    found
}

fn fault(document: &Path, link: &str) -> Option<String> {
    if ["http://", "https://", "mailto:"].iter().any(|scheme| link.starts_with(scheme)) {
        return None;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target =
        if path.is_empty() { document.to_owned() } else { document.parent().unwrap().join(path) };
    let shown = document.strip_prefix(root()).unwrap().display();
    if !target.exists() {
        return Some(format!("{shown}: {link}: no such file"));
    }
    if anchor.is_empty() || target.extension().is_none_or(|extension| extension != "md") {
        return None;
    }
    let there = anchors(&fs::read_to_string(&target).unwrap());
    (!there.contains(anchor)).then(|| format!("{shown}: {link}: no such heading"))
}

#[test]
fn every_link_leads_somewhere() {
    let mut faults = Vec::new();
    let mut seen = 0;
    for document in documents() {
        for link in links(&fs::read_to_string(&document).unwrap()) {
            seen += 1;
            faults.extend(fault(&document, &link));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(seen > 20, "{seen} links");
}

#[test]
fn a_link_to_nothing_is_found() {
    let readme = root().join("README.md");
    assert_eq!(links("see [a](docs/a.md#b), not `[c](d)`"), ["docs/a.md#b"]);
    assert_eq!(
        fault(&readme, "docs/nothing.md"),
        Some("README.md: docs/nothing.md: no such file".into())
    );
    assert_eq!(fault(&readme, "#no-such"), Some("README.md: #no-such: no such heading".into()));
    assert_eq!(fault(&readme, "#run-it"), None);
}

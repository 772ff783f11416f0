//! Data under DVC: a `.dvc` file or `dvc.lock` names content by its hash, `.dvc/config` the remote that has it.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use saphyr_parser::{Event, Parser};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::fetch::config::{Config, S3Config};
use crate::fetch::error::Error;
use crate::fetch::local::{self, is_part};

mod content;
mod lock;

pub(super) use content::Content;

const SCHEME: &str = "dvc:";
/// No `.dvc` file and no configuration comes near it.
const TEXT_MAX: u64 = 1 << 20;
/// What a listing of a folder may take.
pub(super) const LISTING_MAX: u64 = 64 << 20;

/// Whether a location is data under DVC.
pub(super) fn is_tracked(location: &str) -> bool {
    location.starts_with(SCHEME)
}

/// What a `.dvc` file, or an output of a pipeline, stands for.
#[derive(Debug, PartialEq)]
pub(super) struct Tracked {
    /// The name that people know it by.
    pub(super) name: String,
    /// The MD5 of the file, or of the listing of a folder with `.dir` behind it.
    pub(super) hash: String,
    /// What a file has, by whoever added it.
    size: Option<u64>,
    /// DVC 3 keeps objects in `files/md5`.
    in_files: bool,
    pub(super) remote: Remote,
}

/// Where the content is kept.
#[derive(Debug, PartialEq)]
pub(super) enum Remote {
    Folder(PathBuf),
    Store { url: String, endpoint: Option<String>, region: Option<String> },
}

#[derive(Deserialize)]
struct Entry {
    md5: String,
    relpath: String,
}

impl Tracked {
    /// The `.dvc` file of `location`, or the `dvc.lock` that has it as an output, and the remote that the
    /// repository is configured with.
    pub(super) fn read(config: &Config, location: &str) -> Result<Self, Error> {
        let fault = |cause: String| fault(location, cause);
        let named = location.strip_prefix(SCHEME).unwrap_or(location);
        let root = config.baseline_root.as_deref();
        let (path, out) = entry(location, named, root)?;
        let named = path.display();
        let get = |key: &str| out.get(key).and_then(Value::as_str);
        let hash = get("md5").filter(|hash| is_hash(hash)).ok_or_else(|| {
            fault(format!(
                "{named} has no md5, as with a remote that is version_aware; use one that keeps content by hash, \
                 or name the object by its own URL"
            ))
        })?;
        let remote = find_remote(&path, root, get("remote"), location)?;
        let name =
            get("path").and_then(|path| path.rsplit('/').next()).unwrap_or("data").to_owned();
        let in_files = get("hash").is_some();
        let size = get("size").and_then(|size| size.parse().ok());
        Ok(Self { name, hash: hash.to_owned(), size, in_files, remote })
    }

    /// What a baseline says of where it is from: the content, too, for a place has one after the other.
    pub(super) fn source(&self, location: &str) -> String {
        format!("{location} (md5 {})", self.hash)
    }

    pub(super) fn is_folder(&self) -> bool {
        self.hash.ends_with(".dir")
    }

    /// Refuses a file that came to the remote in part.
    pub(super) fn check_size(&self, location: &str, found: u64) -> Result<(), Error> {
        match self.size.filter(|size| !self.is_folder() && *size != found) {
            None => Ok(()),
            Some(size) => Err(fault(
                location,
                format!(
                    "the remote has {found} bytes of {}, and DVC knows of {size}; remove it there and `dvc push` again",
                    self.key(&self.hash)
                ),
            )),
        }
    }

    /// Where below the remote the content of a hash is.
    pub(super) fn key(&self, hash: &str) -> String {
        let (first, rest) = hash.split_at(2);
        let folder = if self.in_files { "files/md5/" } else { "" };
        format!("{folder}{first}/{rest}")
    }

    /// The file of that name, where it is not a folder.
    pub(super) fn file(&self) -> Content {
        self.content(self.name.clone(), &self.hash)
    }

    fn content(&self, name: String, hash: &str) -> Content {
        let (key, md5) = (self.key(hash), hash.to_ascii_lowercase());
        Content { name, key, md5, may_be_text: !self.in_files }
    }

    /// The Parquet files of a folder.
    pub(super) fn parts(&self, location: &str, listing: &[u8]) -> Result<Vec<Content>, Error> {
        content::check_listing(location, (&self.hash, &self.key(&self.hash)), listing)?;
        let entries: Vec<Entry> = serde_json::from_slice(listing).map_err(|error| {
            fault(location, format!("the listing {} is damaged: {error}", self.hash))
        })?;
        let mut parts = Vec::new();
        for Entry { md5, relpath } in entries {
            if !is_hash(&md5) {
                return Err(fault(location, format!("the listing {} is damaged", self.hash)));
            }
            if is_part(&relpath) {
                parts.push(self.content(relpath, &md5));
            }
        }
        match parts.len() {
            0 => Err(Error::NoParts { location: location.to_owned() }),
            1..=local::PARTS_MAX => {
                parts.sort_by(|a, b| a.name.cmp(&b.name));
                Ok(parts)
            }
            _ => Err(Error::TooManyParts { location: location.to_owned(), max: local::PARTS_MAX }),
        }
    }

    /// `config` with the remote's endpoint and region where it has none of its own.
    pub(super) fn config(&self, config: &Config) -> Config {
        let mut config = config.clone();
        if let Remote::Store { endpoint, region, .. } = &self.remote
            && (endpoint.is_some() || region.is_some())
        {
            let s3 = config.s3.get_or_insert_with(S3Config::default);
            s3.endpoint = s3.endpoint.take().or_else(|| endpoint.clone());
            s3.region = s3.region.take().or_else(|| region.clone());
        }
        config
    }
}

/// What names the content: a file, and its entry there.
fn entry(location: &str, named: &str, root: Option<&Path>) -> Result<(PathBuf, Value), Error> {
    let path = if named.ends_with(".dvc") { named.to_owned() } else { format!("{named}.dvc") };
    let text = match read_text(Path::new(&path), root) {
        Err(missing @ Error::Missing { .. }) if path != named => {
            return lock::find(location, named, root)?.ok_or(missing);
        }
        text => text?,
    };
    let file = yaml(&text).map_err(|why| fault(location, format!("{path} is not YAML: {why}")))?;
    let outs = file.get("outs").and_then(Value::as_array).map(Vec::as_slice);
    match outs.unwrap_or_default() {
        [out] => Ok((PathBuf::from(path), out.clone())),
        _ => Err(fault(
            location,
            format!("{path} names no data or several; name a .dvc file with one `outs`"),
        )),
    }
}

fn fault(location: &str, cause: String) -> Error {
    Error::Unreadable { location: location.to_owned(), cause }
}

/// 32 hexadecimal digits: nothing that leads to another place.
fn is_hash(text: &str) -> bool {
    let digits = text.strip_suffix(".dir").unwrap_or(text);
    digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn read_text(path: &Path, root: Option<&Path>) -> Result<String, Error> {
    let opened = local::open(path, root)?;
    let mut text = String::new();
    let read = opened.file.as_ref().take(TEXT_MAX).read_to_string(&mut text);
    read.map_err(|error| Error::io(&opened.path, &error))?;
    if text.len() as u64 == TEXT_MAX {
        let cause = format!("it is larger than {} MiB, as nothing of DVC is", TEXT_MAX >> 20);
        return Err(fault(&opened.path, cause));
    }
    Ok(text)
}

/// The remote by name, else the default one, of the repository that `file` lies in.
fn find_remote(
    file: &Path,
    root: Option<&Path>,
    name: Option<&str>,
    location: &str,
) -> Result<Remote, Error> {
    let full =
        fs::canonicalize(file).map_err(|error| Error::io(&file.display().to_string(), &error))?;
    let home =
        full.ancestors().skip(1).map(|folder| folder.join(".dvc")).find(|home| home.is_dir());
    let home = home.ok_or_else(|| {
        fault(
            location,
            "no folder above the .dvc file has a .dvc folder; keep .dvc/config with it".into(),
        )
    })?;
    let mut settings = Vec::new();
    for config in ["config", "config.local"] {
        match read_text(&home.join(config), root) {
            Ok(text) => settings.extend(ini(&text)),
            Err(Error::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    // What comes later counts.
    let get = |section: &str, key: &str| {
        let found = settings.iter().rev().find(|(s, k, _)| s == section && k == key);
        found.map(|(_, _, value)| value.clone())
    };
    let shown = home.join("config").display().to_string();
    let name = name.map(str::to_owned).or_else(|| get("core", "remote")).ok_or_else(|| {
        fault(location, format!("{shown} names no default remote; add one by `dvc remote add -d`"))
    })?;
    let section = format!("remote \"{name}\"");
    let url = get(&section, "url").ok_or_else(|| {
        fault(
            location,
            format!("{shown} has no url of the remote {name}; add it by `dvc remote add`"),
        )
    })?;
    if get(&section, "version_aware").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Err(fault(
            location,
            format!(
                "the remote {name} is version_aware, which driftd does not read; name the object by its own URL"
            ),
        ));
    }
    let url = url.trim_end_matches('/');
    match url.split_once("://") {
        None => Ok(Remote::Folder(home.join(url))),
        Some(("s3" | "gs" | "azure" | "http" | "https", _)) => Ok(Remote::Store {
            url: url.to_owned(),
            endpoint: get(&section, "endpointurl"),
            region: get(&section, "region"),
        }),
        Some((scheme, _)) => Err(fault(
            location,
            format!(
                "the remote {name} is {scheme}://, which driftd does not read; it reads folders, s3, gs, azure and https"
            ),
        )),
    }
}

/// Sections, keys and values of a DVC configuration.
fn ini(text: &str) -> Vec<(String, String, String)> {
    let mut section = String::new();
    let mut settings = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.trim_matches('\'').clone_into(&mut section);
        } else if let Some((key, value)) = line.split_once('=') {
            let value = value.trim().trim_matches(['"', '\'']);
            settings.push((section.clone(), key.trim().to_owned(), value.to_owned()));
        }
    }
    settings
}

/// YAML without anchors, all scalars as text.
fn yaml(text: &str) -> Result<Value, String> {
    let mut events = Parser::new_from_str(text);
    let mut next = || match events.next() {
        Some(Ok((event, _))) => Ok(event),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("it ends too early".to_owned()),
    };
    loop {
        match next()? {
            Event::StreamStart | Event::DocumentStart(_) => {}
            first => return value(first, &mut next, 0),
        }
    }
}

const DEPTH_MAX: usize = 16;

fn value<'a>(
    first: Event<'a>,
    next: &mut impl FnMut() -> Result<Event<'a>, String>,
    depth: usize,
) -> Result<Value, String> {
    if depth > DEPTH_MAX {
        return Err("it is nested too deep".to_owned());
    }
    match first {
        Event::Scalar(text, ..) => Ok(Value::String(text.into_owned())),
        Event::SequenceStart(..) => {
            let mut items = Vec::new();
            loop {
                match next()? {
                    Event::SequenceEnd => return Ok(Value::Array(items)),
                    item => items.push(value(item, next, depth + 1)?),
                }
            }
        }
        Event::MappingStart(..) => {
            let mut map = Map::new();
            loop {
                match next()? {
                    Event::MappingEnd => return Ok(Value::Object(map)),
                    Event::Scalar(key, ..) => {
                        let first = next()?;
                        map.insert(key.into_owned(), value(first, next, depth + 1)?);
                    }
                    _ => return Err("a key is no text".to_owned()),
                }
            }
        }
        _ => Err("it holds something that no .dvc file does".to_owned()),
    }
}

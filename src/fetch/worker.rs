//! The process that reads: request on standard input, reply on standard output, limits of its own.

use std::io::{self, Read, Write};
use std::panic;
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use serde::{Deserialize, Serialize};

use crate::baseline::{Baseline, FeatureBaseline, Layout, LayoutError, Overrides, SeasonRule, cap};
use crate::client::ClientConfig;
use crate::histogram::Counts;
use crate::setting::Secret;

use crate::fetch::columns;
use crate::fetch::config::Config;
use crate::fetch::container::Container;
use crate::fetch::dependence::PaneClock;
use crate::fetch::error::Error;
use crate::fetch::limits;
use crate::fetch::limits::Room;
use crate::fetch::local::Opened;
use crate::fetch::origin::Origin;
use crate::fetch::parquet::Table;

/// A profile of a thousand features, each with a million categories beyond those listed, is less.
pub(super) const PROFILE_MAX: u64 = 256 << 20;
/// Enough to tell a profile from Parquet.
pub(super) const HEAD: usize = 64;

/// What the parent asks.
#[derive(Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) location: String,
    pub(super) config: Config,
    #[serde(default)]
    client: ClientConfig,
    /// Of the client: a secret does not tell itself to whoever writes it down.
    #[serde(default)]
    proxy: Option<String>,
    /// What the container leaves, where there is one.
    #[serde(default)]
    pub(super) room: Option<Room>,
    /// Who asks: without it there is nobody to answer.
    parent: u32,
    job: Job,
}

impl Request {
    pub(super) fn new(config: &Config, location: &str, job: Job) -> Self {
        let (location, config) = (location.to_owned(), config.clone());
        let client = config.client.clone();
        let proxy = client.proxy.as_ref().map(|proxy| proxy.expose().to_owned());
        let room = Container::around().map(Room::in_container);
        Self { location, config, client, proxy, room, parent: std::process::id(), job }
    }

    fn read(json: &[u8]) -> serde_json::Result<Self> {
        let mut request: Self = serde_json::from_slice(json)?;
        let proxy = request.proxy.take().map(Secret::new);
        request.config.client = ClientConfig { proxy, ..request.client.clone() };
        Ok(request)
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Job {
    Build {
        overrides: Overrides,
        /// Hash the source, too.
        digest: bool,
    },
    Count {
        reference: Box<Baseline>,
    },
    /// What changes when the training data do.
    Digest,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    Baseline(Box<Baseline>),
    Counts(Vec<Counts>),
    Digest(String),
    Failed(Error),
}

/// A reply, and what it took.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) reply: Reply,
    /// The most memory that the worker ever had.
    pub(super) peak_bytes: u64,
}

/// Runs as the worker: one request, one reply. The hidden command `baseline-worker`.
pub fn main() -> ExitCode {
    match answer(&mut io::stdin().lock(), &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let line = format!("baseline-worker: {error}\n");
            // Nobody is left to hear that standard error, too, is gone.
            io::stderr().write_all(line.as_bytes()).ok();
            ExitCode::FAILURE
        }
    }
}

/// What the worker does, in this process and without limits: a hostile file may abort it. For tests that
/// read thousands of them.
///
/// # Errors
/// As `load`.
pub fn read_here(
    config: &Config,
    location: &str,
    overrides: &Overrides,
) -> Result<Baseline, Error> {
    let job = Job::Build { overrides: overrides.clone(), digest: true };
    match reply(&Request::new(config, location, job))? {
        Reply::Baseline(baseline) => Ok(*baseline),
        Reply::Counts(_) | Reply::Digest(_) | Reply::Failed(_) => Err(Error::confused(location)),
    }
}

fn answer(input: &mut dyn Read, output: &mut dyn Write) -> io::Result<()> {
    let mut json = Vec::new();
    input.read_to_end(&mut json)?;
    let request = Request::read(&json)?;
    drop(json);
    let Request { config, room, parent, .. } = &request;
    limits::apply(config.memory_limit, *room, config.time_limit.0, *parent)?;
    let reply = reply(&request).unwrap_or_else(Reply::Failed);
    let answer = Answer { reply, peak_bytes: limits::peak_bytes() };
    serde_json::to_writer(&mut *output, &answer)?;
    output.flush()
}

fn reply(request: &Request) -> Result<Reply, Error> {
    let Request { location, config, .. } = request;
    match &request.job {
        Job::Build { .. } => read_whole(request, &Origin::open(config, location)?),
        Job::Count { .. } => read(request, &Origin::open(config, location)?),
        Job::Digest => Origin::find(config, location)?.digest(location).map(Reply::Digest),
    }
}

/// What `read` makes of a source that is the same at its end. A part that is gone or cut short, too, is
/// only the trace of who writes there.
fn read_whole(request: &Request, source: &Origin) -> Result<Reply, Error> {
    let reply = read(request, source);
    source.check_listing(&request.config, &request.location)?;
    reply
}

fn read(request: &Request, source: &Origin) -> Result<Reply, Error> {
    if let Some(json) = source.profile()? {
        return from_profile(request, source, &json);
    }
    let table = Table::open(&request.location, source.inputs())?;
    let reply = match &request.job {
        Job::Build { overrides, digest: false } => {
            let built = build(request, (source, &table), overrides)?;
            Reply::Baseline(Box::new(built))
        }
        Job::Build { overrides, digest: true } => {
            // Where there is a second core, hashing costs no time.
            let (built, digest) = thread::scope(|scope| {
                let hashing =
                    thread::Builder::new().spawn_scoped(scope, || source.digest(&request.location));
                let built = build(request, (source, &table), overrides);
                let digest = match hashing {
                    Ok(hashing) => {
                        hashing.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
                    }
                    Err(_) => source.digest(&request.location),
                };
                (built, digest)
            });
            Reply::Baseline(Box::new(Baseline { digest: digest?, ..built? }))
        }
        Job::Count { reference } => {
            let mut features = reference.features.iter();
            if let Some(twice) = features.find(|feature| table.has_twice(&feature.name)) {
                let fault = LayoutError::DuplicateColumn { column: twice.name.clone() };
                return Err(Error::Columns { location: request.location.clone(), fault });
            }
            Reply::Counts(columns::count_into(&table, reference)?)
        }
        Job::Digest => Reply::Digest(source.digest(&request.location)?),
    };
    table.check_unchanged()?;
    Ok(reply)
}

/// All but the digest.
fn build(
    request: &Request,
    (origin, table): (&Origin, &Table),
    overrides: &Overrides,
) -> Result<Baseline, Error> {
    let fault = |fault| Error::Columns { location: request.location.clone(), fault };
    let layout = Layout::new(&table.source(), overrides).map_err(fault)?;
    let fault = |fault| Error::Season { location: request.location.clone(), fault };
    let cap = |fault| Error::Cap { location: request.location.clone(), fault };
    // Before anything is read of them.
    cap::check_names(layout.columns.iter().map(|column| column.name.as_str())).map_err(cap)?;
    let rule = SeasonRule::new(overrides);
    rule.check_zone().map_err(fault)?;
    let clock = match layout.time_column.as_deref().and_then(|name| table.column(name)) {
        Some(index) => PaneClock::read(table, index, rule.clone())?,
        None => None,
    };
    let lacks = match &clock {
        Some(clock) => clock.lacks(),
        None => Some("tells no two different times"),
    };
    if let (Some(lacks), Some(_)) = (lacks, rule.period.cycle()) {
        return Err(fault(rule.needs_times(layout.time_column.as_deref(), lacks)));
    }
    let features = columns::build(table, &layout.columns, clock.as_ref())?;
    features.iter().try_for_each(cap::check_cells).map_err(cap)?;
    Ok(Baseline {
        format: Baseline::lowest_format(&features),
        digest: String::new(),
        source: origin.source.clone(),
        rows: table.rows,
        sampled: features.iter().any(|feature| feature.sample.is_some()),
        features,
        time_column: layout.time_column,
        ignored: layout.ignored,
        trained: origin.trained(clock.as_ref().map(|clock| clock.last_ms)),
        season: clock.and_then(PaneClock::into_rule),
    })
}

fn from_profile(request: &Request, origin: &Origin, json: &[u8]) -> Result<Reply, Error> {
    let location = &request.location;
    let mut profile = Baseline::from_json(json)
        .map_err(|error| Error::Profile { location: location.clone(), cause: error.to_string() })?;
    match &request.job {
        Job::Build { overrides, digest: _ } => {
            let columns = |fault| Error::Columns { location: location.clone(), fault };
            profile.configure(overrides).map_err(columns)?;
            let season = |fault| Error::Season { location: location.clone(), fault };
            profile.configure_season(overrides).map_err(season)?;
            profile.digest = origin.digest_of_profile(&profile.digest);
            profile.trained = origin.trained_of_profile(profile.trained);
            profile.source = origin.source_of_profile(profile.source);
            Ok(Reply::Baseline(Box::new(profile)))
        }
        Job::Count { reference } => {
            let counted = |feature: &FeatureBaseline| {
                let live = profile.features.iter().find(|live| live.name == feature.name);
                match live {
                    None => {
                        let missing = profile.rows;
                        Some(Counts { missing, ..Counts::zero(feature.cells.len()) })
                    }
                    Some(live) if live.cells == feature.cells => Some(live.reference.clone()),
                    Some(_) => None,
                }
            };
            let counts: Option<Vec<_>> = reference.features.iter().map(counted).collect();
            counts
                .map(Reply::Counts)
                .ok_or_else(|| Error::OtherCells { location: location.clone() })
        }
        Job::Digest => origin.digest(location).map(Reply::Digest),
    }
}

/// A profile begins as JSON does; Parquet never.
pub(super) fn looks_like_profile(head: &[u8]) -> bool {
    head.trim_ascii_start().first() == Some(&b'{')
}

/// Objects are told apart by name, so that looking for changes costs no read.
pub(super) fn is_profile_name(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end.eq_ignore_ascii_case("json"))
}

pub(super) fn read_profile(opened: &Opened) -> Result<Vec<u8>, Error> {
    if opened.stamp.size > PROFILE_MAX {
        let cause = format!("{} bytes are too many for a profile", opened.stamp.size);
        return Err(Error::Profile { location: opened.path.clone(), cause });
    }
    let length = usize::try_from(opened.stamp.size).unwrap_or(usize::MAX);
    let json = opened.head(length)?;
    opened.check_unchanged()?;
    Ok(json)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_that_is_written_while_it_is_read_is_not_taken_for_whole() {
        let fixture = |name: &str| {
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            root.join("fixtures/baseline/parts").join(name)
        };
        let folder = tempfile::tempdir().unwrap();
        let (first, second) =
            (folder.path().join("part-0.parquet"), folder.path().join("part-1.parquet"));
        let location = folder.path().to_str().unwrap();
        let config = Config::default();
        let job = Job::Build { overrides: Overrides::default(), digest: true };
        let request = Request::new(&config, location, job);
        let open = || Origin::open(&config, location).unwrap();
        fs::copy(fixture("part-00000.parquet"), &first).unwrap();

        let source = open();
        let whole = read_whole(&request, &source);
        assert!(matches!(whole, Ok(Reply::Baseline(_))), "{whole:?}");
        fs::copy(fixture("part-00001.parquet"), &second).unwrap();
        let more = read_whole(&request, &source);
        assert!(matches!(more, Err(Error::Changed { .. })), "{more:?}");

        // Another file of the same bytes in the place of one.
        let source = open();
        fs::copy(&second, folder.path().join("next")).unwrap();
        fs::rename(folder.path().join("next"), &second).unwrap();
        let replaced = read_whole(&request, &source);
        assert!(matches!(replaced, Err(Error::Changed { .. })), "{replaced:?}");

        // One that was cut short is no damage while somebody writes there.
        fs::write(&second, b"PAR1").unwrap();
        let source = open();
        let short = read_whole(&request, &source);
        assert!(matches!(short, Err(Error::Truncated { .. })), "{short:?}");
        fs::remove_file(&first).unwrap();
        let fewer = read_whole(&request, &source);
        assert!(matches!(fewer, Err(Error::Changed { .. })), "{fewer:?}");

        // What is compared once is what was listed.
        fs::copy(fixture("part-00000.parquet"), &first).unwrap();
        fs::remove_file(&second).unwrap();
        let reference = Box::new(read_here(&config, location, &Overrides::default()).unwrap());
        let count = Request::new(&config, location, Job::Count { reference });
        let source = open();
        fs::copy(fixture("part-00001.parquet"), &second).unwrap();
        assert!(matches!(read(&count, &source), Ok(Reply::Counts(_))));
    }
}

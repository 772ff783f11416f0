//! Baselines from disk and object stores, read in a worker process with limits.
//!
//! A location is a Parquet file, a folder of parts, a profile (JSON), or any of them at
//! `s3://bucket/key` and in other stores (docs/baselines.md). A hostile file can make a Parquet reader abort or allocate without end, so
//! it is read by the same binary in a process of its own, never in this one.

use std::time::Duration;

use crate::baseline::{Baseline, Overrides};
use crate::histogram::Counts;

mod columns;
mod config;
mod container;
mod delta;
mod dependence;
mod digest;
mod dvc;
mod error;
mod folder;
mod lakefs;
mod limits;
mod local;
mod mlflow;
mod object;
mod origin;
mod parquet;
mod process;
mod provider;
mod season;
mod shelf;
mod times;
mod worker;

pub use config::{
    AzureConfig, Config, GcsConfig, HttpConfig, LakefsConfig, MlflowConfig, S3Config,
};
pub use container::Container;
pub use digest::Look;
pub use error::Error;
pub use limits::confine;
pub use origin::is_remote;
pub use process::WorkerCommand;
pub use worker::main as worker_main;
pub use worker::read_here;

use digest::look_here;
use process::run;
use worker::{Answer, Job, Reply, Request};

/// How often a file that changes while it is read is read again before that is an error.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(300);

/// Reads the baseline at `location`: a profile as it is, Parquet through the worker.
///
/// # Errors
/// Names the file and, where there is one, the column; `Error::is_unreachable` says that trying
/// again may help.
pub async fn load(
    config: &Config,
    location: &str,
    overrides: &Overrides,
    worker: &WorkerCommand,
) -> Result<Baseline, Error> {
    build(config, location, overrides, worker, true).await.map(|read| read.baseline)
}

/// A baseline, and what reading it took.
#[derive(Clone, Debug)]
pub struct Measured {
    pub baseline: Baseline,
    /// The most memory that the process which read it ever had, in bytes; 0 where the system does not tell.
    pub peak_bytes: u64,
}

/// Looks at `location`, as far as its digest needs it: what changes when the training data do.
///
/// # Errors
/// As `load`, as far as it looks.
pub async fn look(config: &Config, location: &str, worker: &WorkerCommand) -> Result<Look, Error> {
    if let Some(look) = look_here(config, location).await? {
        return Ok(look);
    }
    match ask(config, location, Job::Digest, worker).await?.reply {
        Reply::Digest(digest) => Ok(Look { digest, is_listed: false }),
        Reply::Baseline(_) | Reply::Counts(_) | Reply::Failed(_) => Err(Error::confused(location)),
    }
}

async fn build(
    config: &Config,
    location: &str,
    overrides: &Overrides,
    worker: &WorkerCommand,
    digest: bool,
) -> Result<Measured, Error> {
    let job = Job::Build { overrides: overrides.clone(), digest };
    match ask(config, location, job, worker).await? {
        Answer { reply: Reply::Baseline(mut baseline), peak_bytes } => {
            baseline.watch_outputs(overrides);
            Ok(Measured { baseline: *baseline, peak_bytes })
        }
        Answer { reply: Reply::Counts(_) | Reply::Digest(_) | Reply::Failed(_), .. } => {
            Err(Error::confused(location))
        }
    }
}

/// Counts the columns of Parquet at `location` into the cells of `reference`, one `Counts` for
/// each of its features, in order. A column that `location` lacks is missing in every row; one of
/// a wrong type is a type error in every row that is not null. Features that the reference cannot
/// use are not counted.
///
/// # Errors
/// As `load`; a profile has counts for its own cells only and is refused unless they are the same.
pub async fn count_live(
    config: &Config,
    location: &str,
    reference: &Baseline,
    worker: &WorkerCommand,
) -> Result<Vec<Counts>, Error> {
    let job = Job::Count { reference: Box::new(reference.clone()) };
    match ask(config, location, job, worker).await?.reply {
        Reply::Counts(counts) if fits(&counts, reference) => Ok(counts),
        Reply::Counts(_) | Reply::Baseline(_) | Reply::Digest(_) | Reply::Failed(_) => {
            Err(Error::confused(location))
        }
    }
}

/// `load` for commands: waits, with this executable as the worker. Not for use inside a runtime.
///
/// # Errors
/// As `load`.
pub fn load_blocking(
    config: &Config,
    location: &str,
    overrides: &Overrides,
) -> Result<Baseline, Error> {
    let worker = WorkerCommand::current(location)?;
    wait(location, load(config, location, overrides, &worker))
}

/// `load_blocking` for commands that compare once and keep nothing: the digest of Parquet is left
/// empty, because it takes a look at every byte.
///
/// # Errors
/// As `load`.
pub fn load_once_blocking(
    config: &Config,
    location: &str,
    overrides: &Overrides,
) -> Result<Baseline, Error> {
    let worker = WorkerCommand::current(location)?;
    wait(location, build(config, location, overrides, &worker, false)).map(|read| read.baseline)
}

/// `load_blocking`, saying what it took.
///
/// # Errors
/// As `load`.
pub fn measure_blocking(
    config: &Config,
    location: &str,
    overrides: &Overrides,
) -> Result<Measured, Error> {
    let worker = WorkerCommand::current(location)?;
    wait(location, build(config, location, overrides, &worker, true))
}

/// `count_live` for commands: waits, with this executable as the worker.
///
/// # Errors
/// As `count_live`.
pub fn count_live_blocking(
    config: &Config,
    location: &str,
    reference: &Baseline,
) -> Result<Vec<Counts>, Error> {
    let worker = WorkerCommand::current(location)?;
    wait(location, count_live(config, location, reference, &worker))
}

fn wait<T>(location: &str, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::worker(location, &error))?
        .block_on(work)
}

/// What a worker says about counts is checked as far as sums rely on it.
fn fits(counts: &[Counts], reference: &Baseline) -> bool {
    let lengths = counts.iter().map(|counts| counts.cells.len());
    lengths.eq(reference.features.iter().map(|feature| feature.cells.len()))
}

async fn ask(
    config: &Config,
    location: &str,
    job: Job,
    worker: &WorkerCommand,
) -> Result<Answer, Error> {
    let request = Request::new(config, location, job);
    let mut attempt = 1;
    loop {
        match run(worker, &request).await? {
            Answer { reply: Reply::Failed(Error::Changed { .. }), .. } if attempt < ATTEMPTS => {
                tokio::time::sleep(PAUSE * attempt).await;
                attempt += 1;
            }
            Answer { reply: Reply::Failed(error), .. } => return Err(error),
            answer => return Ok(answer),
        }
    }
}

//! Starts the worker, talks to it, and says which limit ended it.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::fetch::error::Error;
use crate::fetch::limits::Room;
use crate::fetch::worker::{Answer, Request};

/// No reply comes near it; a worker that says more is not ours any more.
const REPLY_MAX: u64 = 1 << 30;
const STDERR_MAX: u64 = 64 << 10;
/// What a library may need to find the store and its certificates. Nothing else of the
/// environment, where the daemon's own secrets may be, goes to a process that reads hostile files.
const ENVIRONMENT: [&str; 31] = [
    "PATH",
    "HOME",
    "TZ",
    "LANG",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "RUST_BACKTRACE",
    "LLVM_PROFILE_FILE",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_BASE_URL",
    "GOOGLE_BEARER_TOKEN",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_SKIP_SIGNATURE",
    "STORAGE_EMULATOR_HOST",
    // Managed identities of Azure.
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "MSI_ENDPOINT",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "LAKECTL_SERVER_ENDPOINT_URL",
    "LAKECTL_CREDENTIALS_ACCESS_KEY_ID",
    "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY",
];
/// All variables of a store whose clients read many.
const PREFIXES: [&str; 2] = ["AWS_", "AZURE_"];

/// How to start a worker: driftd itself, with the hidden command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerCommand {
    pub program: PathBuf,
    pub args: Vec<String>,
}

impl WorkerCommand {
    /// This executable, for `location`, which an error names.
    ///
    /// # Errors
    /// When the system does not say what this executable is.
    pub fn current(location: &str) -> Result<Self, Error> {
        let program = if cfg!(target_os = "linux") {
            // Still this very program when its file has been replaced by an upgrade.
            PathBuf::from("/proc/self/exe")
        } else {
            std::env::current_exe().map_err(|error| Error::worker(location, &error))?
        };
        Ok(Self::of(program))
    }

    /// A given driftd executable.
    pub fn of(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), args: vec!["baseline-worker".to_owned()] }
    }
}

/// One request, one reply; `Reply::Failed` is what the worker found wrong, an error what became of it.
pub(super) async fn run(worker: &WorkerCommand, request: &Request) -> Result<Answer, Error> {
    let location = &request.location;
    let fault = |error: &dyn std::fmt::Display| Error::worker(location, error);
    let mut child = spawn(worker).map_err(|error| fault(&error))?;
    let json = serde_json::to_vec(request).map_err(|error| fault(&error))?;
    let limit = request.config.time_limit;
    let Ok(talked) = tokio::time::timeout(limit.0, talk(&mut child, &json)).await else {
        child.kill().await.map_err(|error| fault(&error))?;
        return Err(Error::TimeLimit { location: location.clone(), limit });
    };
    let (status, stdout, stderr) = talked.map_err(|error| fault(&error))?;
    if !status.success() {
        return Err(ended(request, status, &stderr));
    }
    serde_json::from_slice(&stdout).map_err(|error| fault(&error))
}

fn spawn(worker: &WorkerCommand) -> std::io::Result<Child> {
    let mut command = Command::new(&worker.program);
    command.args(&worker.args).env_clear();
    for (name, value) in std::env::vars_os() {
        let keep = name.to_str().is_some_and(|name| {
            PREFIXES.iter().any(|prefix| name.starts_with(prefix))
                || ENVIRONMENT.iter().any(|kept| kept.eq_ignore_ascii_case(name))
        });
        if keep {
            command.env(name, value);
        }
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

/// All three pipes at once: either side may block on one that nobody serves.
async fn talk(
    child: &mut Child,
    request: &[u8],
) -> std::io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let send = async {
        if let Some(mut stdin) = stdin {
            // A worker that died does not read; its end says more than the broken pipe.
            stdin.write_all(request).await.ok();
        }
    };
    let ((), stdout, stderr) =
        tokio::join!(send, read_all(stdout, REPLY_MAX), read_all(stderr, STDERR_MAX));
    Ok((child.wait().await?, stdout?, stderr?))
}

async fn read_all(pipe: Option<impl AsyncRead + Unpin>, max: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(max).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// Why a worker ended without a reply.
fn ended(request: &Request, status: ExitStatus, stderr: &[u8]) -> Error {
    let location = request.location.clone();
    let stderr = String::from_utf8_lossy(stderr);
    let said = stderr.trim().lines().last().unwrap_or_default();
    match status.signal() {
        Some(libc::SIGABRT) if stderr.contains("memory allocation of") => {
            let limit = request.config.memory_limit;
            match request.room.filter(|room| room.most.0 < limit.0) {
                Some(Room { limit, most }) => Error::NoRoom { location, most, limit },
                None => Error::MemoryLimit { location, limit },
            }
        }
        Some(libc::SIGXCPU) => Error::TimeLimit { location, limit: request.config.time_limit },
        Some(libc::SIGKILL) => Error::worker(
            &location,
            &"it was killed (signal 9), as the kernel does when the machine or container is out \
              of memory; raise the container's memory or lower memory_limit",
        ),
        Some(signal) => Error::worker(&location, &format!("ended by signal {signal}: {said}")),
        None => Error::worker(&location, &format!("{status}: {said}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::Overrides;
    use crate::fetch::Config;
    use crate::fetch::worker::Job;
    use crate::setting::ByteSize;

    #[test]
    fn the_tighter_limit_is_the_one_that_is_told() {
        let job = || Job::Build { overrides: Overrides::default(), digest: false };
        let said = |room: Option<(u64, u64)>| {
            let mut request = Request::new(&Config::default(), "r.parquet", job());
            request.room = room.map(|(most, limit)| Room {
                most: ByteSize(most << 20),
                limit: ByteSize(limit << 20),
            });
            let aborted = ExitStatus::from_raw(libc::SIGABRT);
            ended(&request, aborted, b"memory allocation of 8 bytes failed").to_string()
        };
        let limit = "more than the memory_limit of 2GiB";
        assert!(said(None).contains(limit) && said(Some((4096, 8192))).contains(limit));
        let tight = said(Some((200, 256)));
        let parts = ["r.parquet", "200MiB", "limit of 256MiB", "driftd baseline build"];
        assert!(parts.iter().all(|part| tight.contains(part)), "{tight}");
    }
}

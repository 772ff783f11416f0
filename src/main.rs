//! Exit codes only: the command line decides, the pipeline runs.

use std::process::ExitCode;

fn main() -> ExitCode {
    driftd::cli::main()
}

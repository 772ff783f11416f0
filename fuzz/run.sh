#!/usr/bin/env bash
# Every fuzz target for the given number of seconds, one after the other; stops at the first finding.
#
# Needs nightly Rust and cargo-fuzz (cargo install cargo-fuzz --locked). What it finds is in
# fuzz/artifacts; new inputs stay in fuzz/target/inputs, the corpus is only read.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-60}
cargo +nightly fuzz --version >/dev/null 2>&1 || {
    echo "cargo-fuzz or nightly Rust is missing: rustup toolchain install nightly; cargo install cargo-fuzz --locked" >&2
    exit 1
}
# Memory is safe by the compiler but for few lines; without a sanitizer a build and a run take half.
options=(--sanitizer "${DRIFTD_FUZZ_SANITIZER:-none}")
cargo +nightly fuzz build "${options[@]}"
for target in $(cargo +nightly fuzz list); do
    echo "==> $target: $seconds s"
    mkdir -p "fuzz/target/inputs/$target"
    cargo +nightly fuzz run "${options[@]}" "$target" "fuzz/target/inputs/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
done

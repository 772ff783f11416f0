#!/usr/bin/env bash
# Every bench (or those named), beside its peers, and one table of the ratios at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

benches/peers/install.sh
DRIFTD_BENCH_TABLE=$(mktemp)
export DRIFTD_BENCH_TABLE
trap 'rm -f "$DRIFTD_BENCH_TABLE"' EXIT

stages=("$@")
[ ${#stages[@]} -gt 0 ] || stages=(histogram decode pipeline compare baseline)
for stage in "${stages[@]}"; do
    cargo bench --locked --bench "$stage"
done
python3 benches/table.py "$DRIFTD_BENCH_TABLE"

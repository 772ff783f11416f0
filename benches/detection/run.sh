#!/usr/bin/env bash
# Detection on synthetic and real streams, beside its peers: runs what is not there yet, prints the tables.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

benches/peers/install.sh detection
[ -x target/release/driftd ] || cargo build --release --locked
exec "${DRIFTD_PEERS:-$HOME/.cache/driftd-peers}/detection/bin/python" benches/detection/main.py "$@"

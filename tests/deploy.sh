#!/usr/bin/env bash
# Checks everything under deploy/ with the real tools, and its queries against real servers.
#
#   tests/deploy.sh [CHECK...]     all, or those whose name begins like that (rules, alertmanager, live ...)
#
# Installs what it needs beside the other servers of the tests. The binary is $DRIFTD, else the newest
# of $CARGO_TARGET_DIR or target; it is built if there is none.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for server in tools prometheus alertmanager kafka python; do "tests/servers/$server.sh" install; done
target=${CARGO_TARGET_DIR:-target}
if [ -z "${DRIFTD:-}" ]; then
    DRIFTD=$(ls -t "$target"/{debug,release}/driftd 2>/dev/null | head -1) || true
    [ -n "$DRIFTD" ] || { cargo build --locked && DRIFTD=$target/debug/driftd; }
fi
DRIFTD=$(realpath "$DRIFTD")
export DRIFTD
exec "$(tests/servers/tools.sh python)" -B tests/deploy "$@"

#!/usr/bin/env bash
# Checks everything under deploy/ with the real tools, and its queries against real servers.
#
#   tests/deploy.sh [CHECK...]     all, or those whose name begins like that (rules, alertmanager, live ...)
#
# Installs what it needs beside the other servers of the tests. The binary is $DRIFTD, else the newest
# of $CARGO_TARGET_DIR or target.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for server in tools prometheus alertmanager kafka python; do "tests/servers/$server.sh" install; done
target=${CARGO_TARGET_DIR:-target}
if [ -z "${DRIFTD:-}" ]; then
    for built in "$target"/{debug,release}/driftd; do
        if [ -x "$built" ] && [ "$built" -nt "${DRIFTD:-}" ]; then DRIFTD=$built; fi
    done
    [ -n "${DRIFTD:-}" ] || { echo "no driftd in $target: cargo build, or set DRIFTD" >&2; exit 1; }
fi
DRIFTD=$(realpath "$DRIFTD")
export DRIFTD
# Helm says of every render that the chart's rules and dashboards are links.
exec "$(tests/servers/tools.sh python)" -B tests/deploy "$@" 2> >(grep -v 'found symbolic link in path' >&2)

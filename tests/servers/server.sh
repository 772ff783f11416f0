# Sourced by the scripts beside it: where servers are kept, how they are started, watched and stopped.
#
# Everything listens on 127.0.0.1, on ports that were free when the server was started. A server
# belongs to the directory it was started in and is stopped by the process id in there, never by
# name. With DRIFTD_SERVER_OWNER set to a process id, it is stopped when that process is gone.

set -euo pipefail

cache=${DRIFTD_SERVERS:-$HOME/.cache/driftd-servers}

say() { echo "$(basename "$0"): $*" >&2; }
die() { say "$*"; exit 1; }

# install_once FOLDER COMMAND...: runs the command with FOLDER as its argument unless it has
# succeeded before; callers at the same time wait for each other.
install_once() {
    local folder=$1; shift
    [ -e "$folder/.ok" ] && return
    mkdir -p "$cache"
    (
        flock 9
        [ -e "$folder/.ok" ] && exit
        say "installing into $folder"
        rm -rf "$folder"
        mkdir -p "$folder"
        "$@" "$folder" >&2
        touch "$folder/.ok"
    ) 9>"$cache/.$(basename "$folder").lock"
    [ -e "$folder/.ok" ] || die "installing into $folder failed"
}

# free_ports N: N different ports that nobody listens on now.
free_ports() {
    python3 - "$1" <<'PYTHON'
import socket, sys
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*[s.getsockname()[1] for s in sockets])
PYTHON
}

# launch DIR COMMAND...: starts a server that writes DIR/log, and leaves its process id in DIR/pid.
launch() {
    local dir=$1; shift
    running "$dir" && die "already running in $dir"
    [ ! -e "$dir/log" ] || mv "$dir/log" "$dir/log.before"
    nohup "$@" >"$dir/log" 2>&1 </dev/null 9>&- &
    echo $! >"$dir/pid"
    if [ -n "${DRIFTD_SERVER_OWNER:-}" ]; then
        watch_owner "$DRIFTD_SERVER_OWNER" $! >/dev/null 2>&1 </dev/null &
    fi
}

watch_owner() {
    while kill -0 "$1" && kill -0 "$2"; do sleep 1; done
    kill -9 "$2"
}

running() { [ -e "$1/pid" ] && kill -0 "$(cat "$1/pid")" 2>/dev/null; }

# wait_ready DIR SECONDS COMMAND...: until the command succeeds; shows the log if the server dies.
wait_ready() {
    local dir=$1 deadline=$((SECONDS + $2)); shift 2
    until "$@" >/dev/null 2>&1; do
        running "$dir" || { tail -n 50 "$dir/log" >&2; die "died before it was ready"; }
        [ $SECONDS -lt $deadline ] || { tail -n 50 "$dir/log" >&2; die "not ready in time"; }
        sleep 0.1
    done
}

# stop DIR [SIGNAL]: and wait until it is gone.
stop() {
    running "$1" || return 0
    local pid deadline=$((SECONDS + 30))
    pid=$(cat "$1/pid")
    kill "-${2:-TERM}" "$pid" || true
    while kill -0 "$pid" 2>/dev/null; do
        [ $SECONDS -lt $deadline ] || { kill -9 "$pid" || true; deadline=$((SECONDS + 30)); }
        sleep 0.05
    done
    rm -f "$1/pid"
}

#!/usr/bin/env bash
# MLflow 3.17, a tracking server with model registry and artifacts on the loopback, from PyPI (700 MB).
#
#   mlflow.sh installed           exit 0 if it is in the cache
#   mlflow.sh install             puts it there (needs Python 3 with venv)
#   mlflow.sh start DIR           starts it, its data and log in DIR; prints its address when it is ready
#   mlflow.sh stop DIR            asks it to end, and waits

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/server.sh"
home=$cache/mlflow-3.17.2

install() {
    python3 -m venv "$1"
    "$1/bin/pip" install -q --disable-pip-version-check uv
    "$1/bin/uv" pip install -q --python "$1/bin/python" mlflow==3.17.2
}

start() {
    local port
    mkdir -p "$1"
    [ -e "$home/.ok" ] || die "not installed; run: $0 install"
    port=$(free_ports 1)
    export MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
    launch "$1" "$home/bin/mlflow" server --host 127.0.0.1 --port "$port" --workers 1 \
        --backend-store-uri "sqlite:///$1/mlflow.db" --serve-artifacts \
        --artifacts-destination "$1/artifacts"
    wait_ready "$1" 300 curl -fs -o /dev/null "http://127.0.0.1:$port/health"
    echo "127.0.0.1:$port"
}

case "${1:-}" in
    installed) [ -e "$home/.ok" ] ;;
    install) install_once "$home" install ;;
    start) start "${2:?a directory}" ;;
    stop) stop "${2:?a directory}" ;;
    *) die "usage: mlflow.sh installed | install | start DIR | stop DIR" ;;
esac

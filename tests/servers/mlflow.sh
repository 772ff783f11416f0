#!/usr/bin/env bash
# MLflow 3.17, a tracking server with model registry and artifacts on the loopback, from PyPI. Of what
# it asks for, only what the server needs is installed: 300 MB less.
#
#   mlflow.sh installed           exit 0 if it is in the cache
#   mlflow.sh install             puts it there (needs Python 3 with venv)
#   mlflow.sh start DIR           starts it, its data and log in DIR; prints its address when it is ready
#   mlflow.sh stop DIR            asks it to end, and waits

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/server.sh"
home=$cache/mlflow-3.17.2-server

install() {
    python3 -m venv "$1"
    "$1/bin/pip" install -q --disable-pip-version-check uv
    pip() { "$1/bin/uv" pip install -q --python "$1/bin/python" "${@:2}"; }
    pip "$1" mlflow-skinny==3.17.2 alembic==1.20.1 aiohttp==3.14.5 flask==3.1.3 flask-cors==6.0.5 \
        graphene==3.4.3 gunicorn==27.0.1 huey==3.5.4 numpy==2.4.6 pandas==3.1.1 sqlalchemy==2.1.9
    pip "$1" --no-deps mlflow==3.17.2 mlflow-tracing==3.17.2
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

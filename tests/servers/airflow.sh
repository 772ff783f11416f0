#!/usr/bin/env bash
# Airflow 3.3, its API server with a DAG `retrain_fraud` on the loopback, from PyPI. Nobody schedules: a run
# stays queued until it is given another state.
#
#   airflow.sh installed           exit 0 if it is in the cache
#   airflow.sh install             puts it there (needs Python 3.10 or later with venv)
#   airflow.sh start DIR SECONDS   starts it, its data and log in DIR, its tokens valid for so long; prints its
#                                  address when it is ready. `driftd` (password `only-for-this-test`) may start
#                                  runs, `reader` (the same) may look at them
#   airflow.sh stop DIR            asks it to end, and waits

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/server.sh"
# Raise the last number with the packages or the DAG.
home=$cache/airflow-3.3.2-1

install() {
    python3 -m venv "$1"
    "$1/bin/pip" install -q --disable-pip-version-check uv
    "$1/bin/uv" pip install -q --python "$1/bin/python" --compile-bytecode \
        -r "$here/airflow/requirements.txt"
    # A database with the DAG in it, so that a start needs only to copy it.
    mkdir -p "$1/seed/dags"
    cp "$here/airflow/retrain_fraud.py" "$1/seed/dags/"
    surroundings "$1/seed" "$1"
    "$1/bin/airflow" db migrate
    "$1/bin/airflow" dags reserialize
}

# surroundings DIR HOME: what every command of Airflow needs to know.
surroundings() {
    export AIRFLOW_HOME=$1 PATH=$2/bin:$PATH PYTHONUNBUFFERED=1
    export AIRFLOW__CORE__LOAD_EXAMPLES=False AIRFLOW__CORE__DAGS_FOLDER=$2/seed/dags
    export AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=sqlite:////$1/airflow.db
    export AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False SCARF_ANALYTICS=false DO_NOT_TRACK=1
    export AIRFLOW__API_AUTH__JWT_SECRET=for-tests-only-for-tests-only-for-tests-only-0123456789
    export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS=driftd:user,reader:viewer
    export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE=$1/passwords.json
}

start() {
    local port
    mkdir -p "$1"
    [ -e "$home/.ok" ] || die "not installed; run: $0 install"
    port=$(free_ports 1)
    cp "$home/seed/airflow.db" "$1/"
    echo '{"driftd": "only-for-this-test", "reader": "only-for-this-test"}' >"$1/passwords.json"
    surroundings "$1" "$home"
    export AIRFLOW__API__BASE_URL=http://127.0.0.1:$port
    export AIRFLOW__API_AUTH__JWT_EXPIRATION_TIME=$2 AIRFLOW__API_AUTH__JWT_LEEWAY=0
    launch "$1" "$home/bin/airflow" api-server --host 127.0.0.1 --port "$port" --workers 1 --apps core
    wait_ready "$1" 300 curl -fs -o /dev/null "http://127.0.0.1:$port/api/v2/version"
    echo "127.0.0.1:$port"
}

case "${1:-}" in
    installed) [ -e "$home/.ok" ] ;;
    install) install_once "$home" install ;;
    start) start "${2:?a directory}" "${3:?seconds}" ;;
    stop) stop "${2:?a directory}" ;;
    *) die "usage: airflow.sh installed | install | start DIR SECONDS | stop DIR" ;;
esac

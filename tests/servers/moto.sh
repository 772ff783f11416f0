#!/usr/bin/env bash
# moto 5.2, an S3 server that takes any credentials, on the loopback, from PyPI.
#
#   moto.sh installed           exit 0 if it is in the cache
#   moto.sh install             puts it there (needs Python 3 with venv)
#   moto.sh start DIR           starts it, its log in DIR; prints its address when it is ready
#   moto.sh stop DIR            asks it to end, and waits; its buckets are gone then

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/server.sh"
home=$cache/moto-5.2.5

install() {
    python3 -m venv "$1"
    "$1/bin/pip" install -q --disable-pip-version-check uv
    "$1/bin/uv" pip install -q --python "$1/bin/python" 'moto[server]==5.2.5'
}

start() {
    local port
    mkdir -p "$1"
    [ -e "$home/.ok" ] || die "not installed; run: $0 install"
    port=$(free_ports 1)
    launch "$1" "$home/bin/moto_server" -H 127.0.0.1 -p "$port"
    wait_ready "$1" 60 curl -fs -o /dev/null "http://127.0.0.1:$port/moto-api/"
    echo "127.0.0.1:$port"
}

case "${1:-}" in
    installed) [ -e "$home/.ok" ] ;;
    install) install_once "$home" install ;;
    start) start "${2:?a directory}" ;;
    stop) stop "${2:?a directory}" ;;
    *) die "usage: moto.sh installed | install | start DIR | stop DIR" ;;
esac

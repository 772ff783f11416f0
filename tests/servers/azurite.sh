#!/usr/bin/env bash
# Azurite 3.35, Azure Blob Storage on the loopback, from npm. It checks signatures.
#
#   azurite.sh installed           exit 0 if it is in the cache
#   azurite.sh install             puts it there (needs Node.js 20 or later with npm)
#   azurite.sh start DIR           starts it, its blobs and log in DIR; prints its address when it is ready
#   azurite.sh container DIR NAME  creates a container
#   azurite.sh stop DIR            asks it to end, and waits

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/server.sh"
home=$cache/azurite-3.35.0

install() {
    npm install --prefix "$1" --no-audit --no-fund --silent azurite@3.35.0
}

start() {
    local port
    mkdir -p "$1"
    [ -e "$home/.ok" ] || die "not installed; run: $0 install"
    port=$(free_ports 1)
    launch "$1" node "$home/node_modules/azurite/dist/src/blob/main.js" --blobHost 127.0.0.1 \
        --blobPort "$port" --location "$1/data" --skipApiVersionCheck --disableTelemetry
    wait_ready "$1" 120 curl -s -o /dev/null "http://127.0.0.1:$port/"
    echo "127.0.0.1:$port" | tee "$1/address"
}

# As the account and key that every Azurite has.
container() {
    python3 - "$(cat "$1/address")" "$2" <<'PYTHON'
import base64, email.utils, hashlib, hmac, sys, urllib.request
address, name = sys.argv[1:]
account = "devstoreaccount1"
key = base64.b64decode(
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==")
date, version = email.utils.formatdate(usegmt=True), "2021-08-06"
text = ("PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{version}\n"
        f"/{account}/{account}/{name}\nrestype:container")
signature = base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()
urllib.request.urlopen(urllib.request.Request(
    f"http://{address}/{account}/{name}?restype=container", method="PUT",
    headers={"x-ms-date": date, "x-ms-version": version, "Content-Length": "0",
             "Authorization": f"SharedKey {account}:{signature}"}))
PYTHON
}

case "${1:-}" in
    installed) [ -e "$home/.ok" ] ;;
    install) install_once "$home" install ;;
    start) start "${2:?a directory}" ;;
    container) container "${2:?a directory}" "${3:?a name}" ;;
    stop) stop "${2:?a directory}" ;;
    *) die "usage: azurite.sh installed | install | start DIR | container DIR NAME | stop DIR" ;;
esac

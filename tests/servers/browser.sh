#!/usr/bin/env bash
# Playwright's core and axe from npm, for Debian's Chromium; not a server.
#
#   browser.sh installed            exit 0 if both are there
#   browser.sh install              puts them there (needs Node and npm; as root it installs what of
#                                   Chromium and Node is missing)
#   browser.sh look URL [FOLDER]    opens every view of the driftd at URL, in light, dark and as on a
#                                   phone, and says what is wrong with them; pictures go to FOLDER

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/server.sh"
# Raise the number with the packages below.
home=$cache/browser-1

install() {
    local missing=()
    command -v chromium >/dev/null || missing+=(chromium fonts-dejavu-core)
    command -v npm >/dev/null || missing+=(nodejs npm)
    if [ ${#missing[@]} -gt 0 ]; then
        [ "$(id -u)" = 0 ] || die "install these, or run this as root: ${missing[*]}"
        apt-get update -q
        DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"
    fi
    cd "$1"
    PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm install --no-audit --no-fund --silent \
        playwright-core@1.65.1 axe-core@4.11.0
}

case "${1:-}" in
    installed) [ -e "$home/.ok" ] && command -v chromium >/dev/null ;;
    install) install_once "$home" install ;;
    look) NODE_PATH=$home/node_modules exec node "$here/browser/look.js" "${2:?a URL}" "${3:-}" ;;
    *) die "usage: browser.sh installed | install | look URL [FOLDER]" ;;
esac

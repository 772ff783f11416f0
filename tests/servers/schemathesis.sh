#!/usr/bin/env bash
# Schemathesis 4, which holds a server to its OpenAPI document, from PyPI; not a server.
#
#   schemathesis.sh installed           exit 0 if it is in the cache
#   schemathesis.sh install             puts it there (needs Python 3 with venv)
#   schemathesis.sh run URL ARGS...     asks the server at URL everything that its document allows,
#                                       and much that it does not

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/server.sh"
home=$cache/schemathesis-4.6.4

install() {
    python3 -m venv "$1"
    "$1/bin/pip" install -q --disable-pip-version-check uv
    # Of Hypothesis the last that hypothesis-jsonschema 0.23 works with here.
    "$1/bin/uv" pip install -q --python "$1/bin/python" schemathesis==4.6.4 hypothesis==6.148.7
}

case "${1:-}" in
    installed) [ -e "$home/.ok" ] ;;
    install) install_once "$home" install ;;
    run)
        url=${2:?a URL}; shift 2
        # What it remembers of earlier runs would make a run depend on them.
        cd "$(mktemp -d)"
        exec "$home/bin/schemathesis" --config-file "$here/schemathesis.toml" run "$url/api/v1/openapi.json" --url "$url" "$@"
        ;;
    *) die "usage: schemathesis.sh installed | install | run URL ARGS..." ;;
esac

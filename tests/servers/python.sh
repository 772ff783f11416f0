#!/usr/bin/env bash
# A Python with the clients that produce.py needs, from PyPI; not a server.
#
#   python.sh installed         exit 0 if it is in the cache
#   python.sh install           puts it there (needs Python 3 with venv)
#   python.sh python            prints the path of its interpreter

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/server.sh"
# Raise the number with the packages below.
home=$cache/python-1

install() {
    python3 -m venv "$1"
    "$1/bin/pip" install -q --disable-pip-version-check uv
    "$1/bin/uv" pip install -q --python "$1/bin/python" \
        confluent-kafka==2.12.1 numpy==2.3.4 pyarrow==22.0.0 xxhash==3.6.0
}

case "${1:-}" in
    installed) [ -e "$home/.ok" ] ;;
    install) install_once "$home" install ;;
    python) echo "$home/bin/python" ;;
    *) die "usage: python.sh installed | install | python" ;;
esac

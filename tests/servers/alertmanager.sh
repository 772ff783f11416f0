#!/usr/bin/env bash
# Alertmanager and amtool of Debian, unpacked without being installed, on the loopback.
#
#   alertmanager.sh installed            exit 0 if it is in the cache
#   alertmanager.sh install              puts it there (needs apt-get and dpkg-deb, and root for its
#                                        templates, which it reads from /usr/share only)
#   alertmanager.sh start DIR [CONFIG]   starts it, its data in DIR; prints its address when it is ready.
#                                        Without a configuration it routes to nobody
#   alertmanager.sh stop DIR             asks it to end, and waits
#   alertmanager.sh amtool               prints the path of amtool

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/server.sh"
home=$cache/alertmanager-deb
# Debian's build reads its templates from there and from nowhere else.
templates=/usr/share/prometheus/alertmanager

install() {
    cd "$1"
    # The lists of a fresh machine may be empty or of last month.
    apt-get download -q prometheus-alertmanager ||
        { apt-get update -q && apt-get download -q prometheus-alertmanager; }
    dpkg-deb -x prometheus-alertmanager_*.deb .
    rm prometheus-alertmanager_*.deb
    put_templates "$PWD"
    usr/bin/amtool --version
}

put_templates() {
    [ -e "$templates/default.tmpl" ] && return
    if ! { mkdir -p "$templates" && cp "$1$templates"/*.tmpl "$templates"; }; then
        die "as root, copy $1$templates to $templates"
    fi
}

start() {
    local dir=$1 config=${2:-$1/alertmanager.yml} port
    mkdir -p "$dir"
    [ -e "$home/.ok" ] || die "not installed; run: $0 install"
    put_templates "$home"
    [ $# -gt 1 ] || cat >"$config" <<YAML
route: {receiver: nobody, group_by: [alertname, model]}
receivers: [{name: nobody}]
YAML
    port=$(free_ports 1)
    launch "$dir" "$home/usr/bin/prometheus-alertmanager" --config.file="$config" \
        --storage.path="$dir/data" --web.listen-address="127.0.0.1:$port" --cluster.listen-address=
    wait_ready "$dir" 30 curl -fs -o /dev/null "http://127.0.0.1:$port/-/ready"
    echo "127.0.0.1:$port"
}

case "${1:-}" in
    installed) [ -e "$home/.ok" ] && { [ -e "$templates/default.tmpl" ] || put_templates "$home"; } ;;
    install) install_once "$home" install ;;
    start) shift && start "${1:?a directory}" "${@:2}" ;;
    stop) stop "${2:?a directory}" ;;
    amtool) echo "$home/usr/bin/amtool" ;;
    *) die "usage: alertmanager.sh installed | install | start DIR [CONFIG] | stop DIR | amtool" ;;
esac

#!/usr/bin/env bash
# Prometheus and promtool of Debian, unpacked without being installed, on the loopback.
#
#   prometheus.sh installed            exit 0 if it is in the cache
#   prometheus.sh install              puts it there (needs apt-get and dpkg-deb)
#   prometheus.sh start DIR TARGET...  scrapes every TARGET (host:port) each second, its data in
#                                      DIR; prints its address when it is ready
#   prometheus.sh stop DIR             asks it to end, and waits
#   prometheus.sh promtool             prints the path of promtool

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/server.sh"
home=$cache/prometheus-deb

install() {
    cd "$1"
    # The lists of a fresh machine may be empty or of last month.
    apt-get download -q prometheus || { apt-get update -q && apt-get download -q prometheus; }
    dpkg-deb -x prometheus_*.deb .
    rm prometheus_*.deb
    usr/bin/promtool --version
}

start() {
    local dir=$1 port targets; shift
    mkdir -p "$dir"
    [ -e "$home/.ok" ] || die "not installed; run: $0 install"
    targets=$(printf "'%s'," "$@")
    cat >"$dir/prometheus.yml" <<YAML
global: {scrape_interval: 1s, evaluation_interval: 1s}
scrape_configs: [{job_name: driftd, static_configs: [{targets: [${targets%,}]}]}]
YAML
    port=$(free_ports 1)
    launch "$dir" "$home/usr/bin/prometheus" --config.file="$dir/prometheus.yml" \
        --storage.tsdb.path="$dir/tsdb" --web.listen-address="127.0.0.1:$port"
    wait_ready "$dir" 30 curl -fs -o /dev/null "http://127.0.0.1:$port/-/ready"
    echo "127.0.0.1:$port"
}

case "${1:-}" in
    installed) [ -e "$home/.ok" ] ;;
    install) install_once "$home" install ;;
    start) shift; start "${1:?a directory}" "${@:2}" ;;
    stop) stop "${2:?a directory}" ;;
    promtool) echo "$home/usr/bin/promtool" ;;
    *) die "usage: prometheus.sh installed | install | start DIR TARGET... | stop DIR | promtool" ;;
esac

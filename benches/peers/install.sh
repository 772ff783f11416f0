#!/usr/bin/env bash
# The peers in Python that the benches measure against, each set in a virtual environment under
# DRIFTD_PEERS (~/.cache/driftd-peers). A set that is there already is left as it is. With arguments:
# only the sets of these names.
set -euo pipefail

folder=${DRIFTD_PEERS:-$HOME/.cache/driftd-peers}
wanted=" $* "

install() {
    local name=$1; shift
    [ "$wanted" = "  " ] || [[ "$wanted" == *" $name "* ]] || return 0
    [ -e "$folder/$name/.complete" ] && return
    rm -rf "${folder:?}/$name"
    python3 -m venv "$folder/$name"
    "$folder/$name/bin/pip" install --quiet --disable-pip-version-check "$@"
    touch "$folder/$name/.complete"
}

mkdir -p "$folder"
install fast numpy==2.4.6 pandas==3.1.1 polars==2.1.0 pyarrow==26.0.1 msgspec==0.22.0 orjson==3.13.0 confluent-kafka==2.16.1 scipy==1.17.1
# Evidently does not import with pandas 3.
install evidently evidently==0.7.23 "pandas<3"
# What detection is measured beside; Alibi Detect needs an older numpy.
install detection numpy==2.4.6 scipy==1.17.1 pandas==2.3.3 pyarrow==26.0.1 river==0.26.1
install alibi alibi-detect==0.13.0 numba==0.59.1 numpy==1.26.4

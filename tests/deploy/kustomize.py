"""The Kustomize base, its overlays and components: they build, twice alike, valid objects."""

import pathlib
import sys

import schemas
from common import DEPLOY, documents, need, rule_files, run, tool

import yaml

OVERLAYS = DEPLOY / "kustomize/overlays"
RULE = DEPLOY / "kustomize/components/monitoring/prometheusrule.yaml"


def build(overlay):
    return run([tool("kustomize"), "build", overlay])


def objects(overlay):
    return {(one["kind"], one["metadata"]["name"].split("-")[0]): one for one in documents(build(OVERLAYS / overlay))}


def overlays():
    return sorted(path.name for path in OVERLAYS.iterdir())


def check_kustomize_builds_the_same_twice():
    need({"dev", "production", "sidecar-example"} == set(overlays()), f"overlays: {overlays()}")
    for overlay in overlays():
        need(build(OVERLAYS / overlay) == build(OVERLAYS / overlay), f"{overlay} builds differently the second time")


def check_kustomize_objects_are_valid():
    for overlay in overlays():
        found = documents(build(OVERLAYS / overlay))
        schemas.need_valid(f"kustomize {overlay}", found)
        for one in found:
            schemas.need_restricted(f"kustomize {overlay}", one)
            need(one["metadata"].get("namespace"), f"{overlay}: {one['kind']} has no namespace")


def check_kustomize_configurations_are_valid():
    for overlay in overlays():
        schemas.need_accepted(f"kustomize {overlay}", (OVERLAYS / overlay / "driftd.yaml").read_text())


def check_kustomize_selects_its_own_pods():
    found = objects("production")
    labels = found["StatefulSet", "driftd"]["spec"]["template"]["metadata"]["labels"]
    own = {"app.kubernetes.io/name": "driftd"}
    need(labels == own, f"labels of the pod: {labels}")
    need(found["Service", "driftd"]["spec"]["selector"] == own, "selector of the Service")
    for kind in ["StatefulSet", "PodDisruptionBudget", "ServiceMonitor"]:
        need(found[kind, "driftd"]["spec"]["selector"]["matchLabels"] == own, f"selector of the {kind}")
    volumes = {volume["name"]: volume for volume in found["StatefulSet", "driftd"]["spec"]["template"]["spec"]["volumes"]}
    need(volumes["config"]["configMap"]["name"].startswith("driftd-"), "a new configuration is a new ConfigMap, and a restart")


def check_kustomize_sidecar_never_makes_the_pod_unready():
    pod = objects("sidecar-example")["Deployment", "fraud"]["spec"]["template"]["spec"]
    sidecar = pod["initContainers"][0]
    need(sidecar["restartPolicy"] == "Always", "a native sidecar is restarted always")
    for probe in ["readinessProbe", "startupProbe"]:
        need(probe not in sidecar, f"the sidecar's {probe} would count for the model's pod")
    need(sidecar["livenessProbe"]["httpGet"]["path"] == "/livez", "only the loop restarts it")
    need([one["name"] for one in pod["containers"]] == ["model"], "the model's own container is as it was")
    need("readinessProbe" in pod["containers"][0], "the model's own probe is as it was")


def prometheus_rule():
    groups = [group for file in rule_files() for group in yaml.safe_load(file.read_text())["groups"]]
    rule = {
        "apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule",
        "metadata": {"name": "driftd", "labels": {"app.kubernetes.io/name": "driftd"}}, "spec": {"groups": groups},
    }
    head = "# Made of deploy/prometheus/driftd-rules-*.yaml by tests/deploy/kustomize.py --write.\n"
    return head + yaml.safe_dump(rule, sort_keys=False, width=120)


def check_kustomize_rules_are_those_of_prometheus():
    need(RULE.read_text() == prometheus_rule(), f"{RULE} is not made of deploy/prometheus: tests/deploy/kustomize.py --write")


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    pathlib.Path(RULE).write_text(prometheus_rule())

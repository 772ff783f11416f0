"""Argo CD, Flux, Terraform, Backstage, Argo Workflows and Events, Rollouts, KServe, quality gates."""

import pathlib
import re
import subprocess

import hcl2
import yaml

import chart
import schemas
from common import DEPLOY, DRIFTD, documents, folder, need, run, server, tool

# Flux' definitions and Backstage's are in no registry that is used here: their shape is asserted below.
CRD_FILES = ["argocd/application.yaml", "argo-workflows/retrain.yaml", "argo-events/driftd.yaml", "argo-rollouts/analysis.yaml",
             "kserve/promote.yaml"]


def load(name):
    return documents((DEPLOY / name).read_text())


def check_examples_are_valid_objects():
    for name in CRD_FILES:
        found = load(name)
        need(all(f"{one['apiVersion']} {one['kind']}" in schemas.custom() or "argoproj" not in one["apiVersion"] for one in found),
             f"{name}: an object without a schema")
        schemas.need_valid(name, found)


def check_examples_give_the_chart_values_that_it_takes():
    application = load("argocd/application.yaml")[0]
    source = application["spec"]["source"]
    need((DEPLOY.parent / source["path"] / "Chart.yaml").exists(), f"no chart at {source['path']}")
    repository, release = load("flux/driftd.yaml")
    need(release["spec"]["chartRef"]["name"] == repository["metadata"]["name"], "Flux: the release names its repository")
    for where, values in [("argocd", source["helm"]["valuesObject"]), ("flux", release["spec"]["values"])]:
        found = list(chart.objects(values).values())
        schemas.need_valid(where, found)
        schemas.need_accepted(where, yaml.safe_dump(values["config"]))


def check_examples_terraform_parses():
    with open(DEPLOY / "terraform/main.tf") as file:
        module = hcl2.load(file)
    names = {name.strip('"') for resource in module["resource"] for name in resource}
    need(names == {"helm_release", "grafana_folder", "grafana_dashboard"}, f"resources: {names}")
    text = (DEPLOY / "terraform/main.tf").read_text()
    for path in re.findall(r"\$\{path\.module\}/([\w./]+?)(?:/\$\{[^}]*\})?\"", text):
        need((DEPLOY / "terraform" / path).exists(), f"terraform: no {path}")
    for name in set(re.findall(r"\bvar\.(\w+)", text)):
        need(any(name == own.strip('"') for variable in module["variable"] for own in variable), f"terraform: no variable {name}")


def check_examples_backstage_entities():
    for entity in load("backstage/catalog-info.yaml"):
        need(entity["apiVersion"] == "backstage.io/v1alpha1" and entity["kind"] == "Component", f"{entity['kind']}")
        need(re.fullmatch(r"[a-z0-9]+([-a-z0-9]*[a-z0-9])?", entity["metadata"]["name"]), "a name that Backstage takes")
        need({"type", "lifecycle", "owner"} <= set(entity["spec"]), f"{entity['metadata']['name']}: type, lifecycle, owner")


def check_examples_argo_binding_fits_the_webhook():
    """The binding gives the template all that it needs, under a name that makes repeats harmless."""
    binding, template, *_ = load("argo-workflows/retrain.yaml")
    submit = binding["spec"]["submit"]
    given = {parameter["name"] for parameter in submit["arguments"]["parameters"]}
    wanted = {parameter["name"] for parameter in template["spec"]["arguments"]["parameters"]}
    need(given == wanted, f"the binding gives {given}, the template wants {wanted}")
    need("payload.id" in submit["metadata"]["name"], "the incident's id names the Workflow: sent twice it is one")


def payload_paths():
    """What the binding and the sensor read of driftd's body; live.py looks for it in a real one."""
    binding = re.findall(r"payload\.([\w.]+)", (DEPLOY / "argo-workflows/retrain.yaml").read_text())
    sensor = re.findall(r"body\.([\w.]+)", (DEPLOY / "argo-events/driftd.yaml").read_text())
    need(binding and sensor, "neither binding nor sensor read the body")
    return set(binding + sensor)


def gate_queries():
    """What the gates ask Prometheus, with their model filled in; live.py asks it of a real one."""
    found = []
    for metric in load("argo-rollouts/analysis.yaml")[0]["spec"]["metrics"]:
        found.append(metric["provider"]["prometheus"]["query"].replace("{{args.model}}", "fraud"))
    url = load("kserve/promote.yaml")[0]["spec"]["templates"][1]["http"]["url"]
    found.append(url.split("query=")[1].replace("{{workflow.parameters.model}}", "fraud"))
    return found


def check_examples_github_actions():
    run([tool("actionlint"), "-shellcheck", tool("shellcheck"), DEPLOY / "quality-gate/github-actions.yaml"])


def check_examples_gitlab_ci():
    check = pathlib.Path(server("tools", "bin")) / "check-jsonschema"
    run([check, "--builtin-schema", "vendor.gitlab-ci", DEPLOY / "quality-gate/gitlab-ci.yaml"])
    run([check, "--builtin-schema", "vendor.github-workflows", DEPLOY / "quality-gate/github-actions.yaml"])
    run([check, "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml"])


DATA = """
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
rng = np.random.default_rng(3)
for name, scale in [("reference", 1), ("same", 1), ("moved", 2)]:
    pq.write_table(pa.table({"amount": rng.lognormal(3, 1, 5000) * scale, "age": rng.normal(40, 9, 5000)}), f"data/{name}.parquet")
"""


def check_examples_quality_gates_end_with_3_on_drift():
    """Every `driftd compare` of the snippets, run as it stands: 0 without drift, 3 with it."""
    commands = set()
    for file in (DEPLOY / "quality-gate").iterdir():
        found = re.findall(r"driftd compare[^'\n>|]*", file.read_text().split("\njobs:")[-1])
        found = [one.strip() for one in found if "parquet" in one]
        need(found, f"{file.name} compares nothing")
        commands.update(found)
    with folder() as place:
        here = pathlib.Path(place)
        (here / "data").mkdir()
        (here / "bin").mkdir()
        (here / "bin/driftd").symlink_to(DRIFTD)
        run([server("python", "python"), "-c", DATA], cwd=here)
        for candidate, code in [("same", 0), ("moved", 3)]:
            (here / "data/candidate.parquet").write_bytes((here / f"data/{candidate}.parquet").read_bytes())
            for command in sorted(commands):
                done = subprocess.run(["bash", "-c", f"PATH={here}/bin:$PATH; {command}"], cwd=here, capture_output=True, text=True)
                need(done.returncode == code, f"{command}: exit {done.returncode}, not {code}\n{done.stdout}{done.stderr}")

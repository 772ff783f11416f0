"""What a cluster would say of an object, and driftd of a configuration."""

import copy
import functools
import json
import os
import pathlib
import re
import subprocess

import certifi
import jsonschema
import kubernetes_validate
import yaml

from common import DRIFTD, Fault, folder, need, server

# The oldest and the newest release that is promised, as far as there are schemas.
RELEASES = ["1.29", "1.34"]

# YAML 1.1 has a type of its own for `=`, which definitions list as a plain word.
yaml.CSafeLoader.add_constructor("tag:yaml.org,2002:value", yaml.CSafeLoader.construct_yaml_str)


@functools.cache
def custom():
    """The schema of each custom resource, by "apiVersion kind"; unknown keys are refused."""
    crds = pathlib.Path(server("tools", "crds"))
    # Reading the definitions takes half a minute, so what is made of them is kept beside them.
    kept = crds / "schemas.json"
    if not kept.exists():
        part = kept.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(definitions(crds)))
        part.replace(kept)
    return json.loads(kept.read_text())


def definitions(crds):
    found = {}
    for file in crds.rglob("*.yaml"):
        for one in yaml.load_all(file.read_text(), yaml.CSafeLoader):
            if one and one["kind"] == "CustomResourceDefinition":
                spec = one["spec"]
                for version in spec["versions"]:
                    schema = version.get("schema", {}).get("openAPIV3Schema")
                    if schema:
                        found[f"{spec['group']}/{version['name']} {spec['names']['kind']}"] = strict(schema)
    need(len(found) > 20, f"only {len(found)} custom resources")
    return found


def strict(schema):
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: strict(value) for key, value in schema.items() if key not in ("format", "description")}
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    open_ended = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not open_ended:
        schema["additionalProperties"] = False
    return schema


def need_valid(where, objects):
    for one in objects:
        place = f"{where}: {one.get('kind')} {one.get('metadata', {}).get('name')}"
        kind = f"{one['apiVersion']} {one['kind']}"
        if kind in custom():
            schema = copy.deepcopy(custom()[kind])
            schema["properties"]["metadata"] = {"type": "object"}
            faults = list(jsonschema.Draft7Validator(schema).iter_errors(one))
            need(not faults, f"{place}: " + "; ".join(f"{fault.json_path} {fault.message}" for fault in faults))
            continue
        for release in RELEASES:
            try:
                kubernetes_validate.validate(one, release, strict=True)
            except Exception as fault:
                raise Fault(f"{place}, Kubernetes {release}: {fault}") from fault


def pod_of(one):
    if one["kind"] in ("Deployment", "StatefulSet"):
        return one["spec"]["template"]["spec"]
    return None


def need_restricted(where, one):
    """The pod security standard `restricted`, and a root that is read-only."""
    pod = pod_of(one)
    if pod is None:
        return
    own = [part for part in pod["containers"] + pod.get("initContainers", []) if "driftd" in part["image"]]
    need(own, f"{where}: no container of driftd")
    for container in own:
        context = {**pod.get("securityContext", {}), **container.get("securityContext", {})}
        for key, value in {
            "runAsNonRoot": True, "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
        }.items():
            need(context.get(key) == value, f"{where}: {key} is {context.get(key)}, not {value}")
        need("memory" in container["resources"]["limits"], f"{where}: no limit of memory")


@functools.cache
def pair():
    """A certificate and its key, as PEM."""
    with folder() as place:
        key, certificate = (pathlib.Path(place) / name for name in ("key", "certificate"))
        new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        named = ["-subj", "/CN=driftd", "-addext", "subjectAltName=DNS:driftd", "-keyout", key, "-out", certificate]
        subprocess.run([*new, *named], check=True, capture_output=True)
        return certificate.read_text(), key.read_text()


def secret(path):
    if path.endswith(("tls.crt", "tls.key")):
        return pair()[path.endswith("tls.key")]
    if path.endswith((".crt", ".pem")):
        return pathlib.Path(certifi.where()).read_text()
    # Long enough for a token.
    return "https://hooks.example/secret\n" if path.endswith("url") else "secret" * 8 + "\n"


def need_accepted(where, config):
    """`driftd validate --offline` takes it, with files in place of those that it mounts."""
    with folder() as place:
        for path in set(re.findall(r"/(?:run/secrets|var/run/secrets)/[\w./-]+", config)):
            file = pathlib.Path(place + path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(secret(path))
            config = config.replace(path, str(file))
        file = pathlib.Path(place) / "driftd.yaml"
        file.write_text(config)
        done = subprocess.run([DRIFTD, "validate", "--offline", "-c", file], capture_output=True, text=True)
        need(done.returncode == 0, f"{where}: driftd validate: {done.stderr}")

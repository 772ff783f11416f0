#!/usr/bin/env python3
"""Prints a CycloneDX 1.5 bill of materials of the release binary, from Cargo.lock alone: no network.

Only what is compiled into the binary or builds it: no crate that only tests need. C libraries that a
crate brings along are named by its version (openssl-src, rdkafka-sys, zstd-sys, aws-lc-sys).
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGETS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]


def metadata(target):
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--filter-platform", target]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)


def needed(data):
    """Every package that the root needs to be built, with what it needs itself."""
    nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
    found, waiting = {}, [data["resolve"]["root"]]
    while waiting:
        package = waiting.pop()
        if package in found:
            continue
        deps = nodes[package]["deps"]
        kept = [d["pkg"] for d in deps if any(k["kind"] != "dev" for k in d["dep_kinds"])]
        found[package] = kept
        waiting += kept
    return found


def component(package, checksums, kind="library"):
    name, version = package["name"], package["version"]
    purl = f"pkg:cargo/{name}@{version}"
    out = {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if package.get("description"):
        out["description"] = package["description"].strip()
    if package.get("license"):
        # Old crates write MIT/Apache-2.0.
        out["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if (name, version) in checksums:
        out["hashes"] = [{"alg": "SHA-256", "content": checksums[name, version]}]
    if package.get("repository"):
        out["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return out


def main():
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    checksums = {(p["name"], p["version"]): p["checksum"] for p in lock["package"] if "checksum" in p}
    packages, edges, root = {}, {}, None
    for target in TARGETS:
        data = metadata(target)
        root = data["resolve"]["root"]
        packages |= {package["id"]: package for package in data["packages"]}
        for package, deps in needed(data).items():
            edges.setdefault(package, set()).update(deps)
    purl = lambda i: f"pkg:cargo/{packages[i]['name']}@{packages[i]['version']}"
    parts = sorted((i for i in edges if i != root), key=purl)
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(packages[root], checksums, "application")},
        "components": [component(packages[i], checksums) for i in parts],
        "dependencies": [
            {"ref": purl(i), "dependsOn": sorted(purl(d) for d in edges[i])} for i in [root, *parts]
        ],
    }
    json.dump(bill, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()

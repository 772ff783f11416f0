"""What the checks of deploy/ share: where things are, how tools and servers are run."""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
SERVERS = ROOT / "tests/servers"
DRIFTD = os.environ.get("DRIFTD", "")
METRIC = re.compile(r"\b(?:driftd|process)_[a-z0-9_]+\b")


class Fault(Exception):
    """A check that fails, and why."""


def need(condition, message):
    if not condition:
        raise Fault(message)


def run(command, allow=(0,), **options):
    """Standard output of a command; a fault with all that it said if it ends otherwise."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if done.returncode not in allow:
        said = f"{done.stdout}\n{done.stderr}".strip()
        raise Fault(f"{' '.join(map(str, command))}: exit {done.returncode}\n{said}")
    return done.stdout


def server(name, *arguments):
    """A verb of a server's script; the server ends with this process."""
    owned = {**os.environ, "DRIFTD_SERVER_OWNER": str(os.getpid())}
    return run([SERVERS / f"{name}.sh", *arguments], env=owned).strip()


def tool(name):
    """A program of tools.sh, or the one of the system."""
    here = pathlib.Path(server("tools", "bin")) / name
    return here if here.exists() else shutil.which(name)


def folder():
    return tempfile.TemporaryDirectory(prefix="driftd-deploy-")


def ports(n):
    """Addresses of this machine that nobody listens on."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    return [f"127.0.0.1:{one.getsockname()[1]}" for one in held]


def documents(text):
    return [one for one in yaml.safe_load_all(text) if one]


def rule_files():
    return sorted((DEPLOY / "prometheus").glob("driftd-rules-*.yaml"))


def rules():
    """Every rule, with the file that it stands in."""
    return [
        {**rule, "file": file.name}
        for file in rule_files()
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    ]


def alerts():
    return [rule for rule in rules() if "alert" in rule]


def dashboards():
    """Every dashboard as (file name, JSON)."""
    files = sorted((DEPLOY / "grafana").glob("*.json"))
    return [(file.name, json.loads(file.read_text())) for file in files]


def panels(dashboard):
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def queries(dashboard):
    """Every query of a dashboard, as (where, expression)."""
    for panel in panels(dashboard):
        for target in panel.get("targets", []):
            yield f"{panel['title']}/{target['refId']}", target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        yield f"annotation {annotation['name']}", annotation["expr"]


def selectors(expr):
    """Every selector of an expression by itself, one for each alternative of a list of words."""
    expr = re.sub(r"\b[a-z]+:\w+:\w+\b", "", expr)
    for name, matchers in re.findall(r"\b((?:driftd|process)_\w+|up)\b(\{[^}]*\})?", expr):
        lists = re.findall(r'(\w+)=~"([\w|]+)"', matchers)
        if not lists:
            yield name, name + matchers
        for label, words in lists:
            for word in words.split("|"):
                yield name, name + re.sub(rf'{label}=~"[\w|]+"', f'{label}="{word}"', matchers)


def defined_metrics():
    """The names of every family that src/metrics writes."""
    text = "".join(
        file.read_text().split("#[cfg(test)]")[0]
        for file in [ROOT / "src/metrics.rs", *(ROOT / "src/metrics").rglob("*.rs")]
    )
    return set(re.findall(r'"((?:driftd|process)_[a-z0-9_]+)"', text))

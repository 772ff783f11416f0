"""Rules of Prometheus: they parse, are tested, have runbooks, and name what driftd exports."""

import re

from common import DEPLOY, METRIC, ROOT, alerts, dashboards, defined_metrics, need, queries, rule_files
from common import rules as all_rules
from common import run, server

import yaml

RUNBOOKS = ROOT / "docs/runbooks"
PREFIX = "https://github.com/driftd/driftd/blob/main/docs/runbooks/"
SUFFIXES = re.compile(r"_(bucket|sum|count)$")


def check_rules_are_clean():
    promtool = server("prometheus", "promtool")
    run([promtool, "check", "rules", "--lint=all", "--lint-fatal", *rule_files()])


def check_rules_fire_and_clear():
    promtool = server("prometheus", "promtool")
    tests = sorted((DEPLOY / "prometheus").glob("driftd-test-*.yaml"))
    run([promtool, "test", "rules", *tests], cwd=DEPLOY / "prometheus")
    quiet, firing, cleared = set(), set(), set()
    for file in tests:
        for test in yaml.safe_load(file.read_text())["tests"]:
            for case in sorted(test.get("alert_rule_test", []), key=lambda case: minutes(case["eval_time"])):
                name = case["alertname"]
                if case["exp_alerts"]:
                    firing.add(name)
                else:
                    (cleared if name in firing else quiet).add(name)
    names = {rule["alert"] for rule in alerts()}
    for what, found in [("fires", firing), ("does not fire", quiet), ("clears", cleared)]:
        need(names == found, f"without a test that it {what}: {sorted(names - found)}; of no rule: {sorted(found - names)}")


def minutes(span):
    units = {"d": 1440, "h": 60, "m": 1, "s": 1 / 60}
    return sum(int(n) * units[unit] for n, unit in re.findall(r"(\d+)([dhms])", span))


def check_rules_have_audience_severity_and_runbook():
    pages = {page.stem for page in RUNBOOKS.glob("Driftd*.md")}
    uids = {dashboard["uid"] for _, dashboard in dashboards()}
    index = (RUNBOOKS / "README.md").read_text()
    for rule in alerts():
        name, labels, notes = rule["alert"], rule["labels"], rule["annotations"]
        audience = rule["file"].removeprefix("driftd-rules-").removesuffix(".yaml")
        need(labels["audience"] == audience, f"{name}: audience {labels['audience']} in {rule['file']}")
        need(labels["severity"] in ("critical", "warning", "info"), f"{name}: severity {labels['severity']}")
        need(notes["runbook_url"] == f"{PREFIX}{name}.md", f"{name}: runbook_url {notes['runbook_url']}")
        need(name in pages, f"{name}: no page docs/runbooks/{name}.md")
        need(f"[{name}]({name}.md)" in index, f"{name} is not in docs/runbooks/README.md")
        page = (RUNBOOKS / f"{name}.md").read_text()
        said = f"Audience {audience}, severity {labels['severity']}."
        need(said in page, f"docs/runbooks/{name}.md does not say: {said}")
        for part in ["**Meaning.**", "**Impact.**", "## Look", "## Fix"]:
            need(part in page, f"docs/runbooks/{name}.md has no {part}")
        uid = notes["dashboard"].split("?")[0].removeprefix("/d/")
        need(uid in uids, f"{name}: no dashboard {uid}")
    need(pages == {rule["alert"] for rule in alerts()}, "a runbook of no alert")


def check_rules_name_metrics_that_are_exported():
    known = defined_metrics()
    need(len(known) > 60, f"only {len(known)} metrics found in src/metrics")
    recorded = {name for rule in all_rules() if "record" in rule for name in [rule["record"]]}
    sources = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in all_rules()]
    for file, dashboard in dashboards():
        sources += [(f"{file}: {where}", expr) for where, expr in queries(dashboard)]
        for variable in dashboard["templating"]["list"]:
            sources.append((f"{file}: ${variable['name']}", variable.get("definition", "")))
    for page in RUNBOOKS.glob("*.md"):
        sources.append((page.name, page.read_text()))
    for where, text in sources:
        for name in re.findall(r"\b[a-z]+:driftd_[a-z0-9_]+:[a-z0-9_]+\b", text):
            need(name in recorded, f"{where}: no rule records {name}")
        for name in METRIC.findall(re.sub(r"\b[a-z]+:driftd_[a-z0-9_]+:[a-z0-9_]+\b", "", text)):
            plain = name if name in known else SUFFIXES.sub("", name)
            need(plain in known, f"{where}: driftd exports no {name}")

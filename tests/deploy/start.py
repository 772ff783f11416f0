"""What a driftd exports as it starts, while no broker answers: alerts must have something to look at already then."""

import pathlib
import re
import subprocess
import time
import urllib.request

from common import DRIFTD, METRIC, alerts, dashboards, folder, need, ports, queries, rule_files, run, selectors, server
from common import rules as all_rules

import yaml

LIMIT_SECONDS = 120

CONFIG = """
kafka: {{brokers: ["127.0.0.1:9"]}}
models:
  - name: fraud
    topic: fraud.inferences
    checks: [{{feature: amount, mean: [0, 1]}}]
    drift_config: {{reference_dataset: {place}/b.parquet, retraining_trigger: {{webhook: "http://127.0.0.1:9/", allow_http: true}}}}
dead_letter: {{topic: dead}}
state: {{dir: {place}/state}}
http: {{public: "{public}", admin: "127.0.0.1:0"}}
"""

# What has no series at the start, and why the alerts on it see what they have to see nevertheless.
BORN_LATER = {
    "driftd_check_passed": "a window that is not complete has neither passed nor failed",
    "driftd_confidence_drift_detected": "no window has been tested",
    "driftd_consumer_lag_records": "no partition is ours: DriftdNoPartitions tells",
    "driftd_feature_drift_detected": "no pane has been evaluated: DriftdEvaluationStalled tells",
    "driftd_feature_fault": "there without a fault it would be a series for each kind and feature; the alert asks for 1",
    "driftd_last_evaluation_timestamp_seconds": "DriftdEvaluationStalled takes the time of the baseline in its place",
    "driftd_prediction_drift_detected": "no window has been tested",
    "driftd_records_lost_total": "born with its first event, which the rule catches by `unless ... offset`",
    "driftd_state_rejected_total": "born with its first event, which the rule catches by `unless ... offset`",
    "driftd_state_snapshot_age_seconds": "no partition is ours, so there is nothing to save",
    "driftd_webhook_deliveries_total": "born with its first event, which the rule catches by `unless ... offset`",
    "driftd_webhook_oldest_pending_timestamp_seconds": "nothing waits",
}


def exposition():
    """Every series of a daemon that has just started, as (name, labels, value)."""
    with folder() as place:
        data = "import pyarrow as pa, pyarrow.parquet as pq; pq.write_table(pa.table({'amount': list(range(5000))}), 'b.parquet')"
        run([server("python", "python"), "-c", data], cwd=place)
        public = ports(1)[0]
        config, log = pathlib.Path(place) / "driftd.yaml", pathlib.Path(place) / "log"
        config.write_text(CONFIG.format(place=place, public=public))
        with log.open("w") as said:
            running = subprocess.Popen([DRIFTD, "run", "-c", config], stdout=said, stderr=said)
        try:
            deadline = time.monotonic() + LIMIT_SECONDS
            while True:
                found = parsed(asked(f"http://{public}/metrics"))
                # The baseline is taken up, and the topic subscribed to.
                missing = {"driftd_baseline_rows", "driftd_consumer_assigned_partitions"} - {name for name, *_ in found}
                if not missing:
                    return found
                need(running.poll() is None, f"driftd has ended:\n{log.read_text()}")
                need(time.monotonic() < deadline, f"{missing} is not there in time:\n{log.read_text()}")
                time.sleep(0.1)
        finally:
            running.terminate()
            running.wait()


def asked(url):
    try:
        return urllib.request.urlopen(url, timeout=10).read().decode()
    except OSError:
        return ""


def parsed(text):
    found = []
    for line in text.splitlines():
        if not line.startswith("#"):
            series, value = line.rsplit(" ", 1)
            labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', series))
            found.append((series.split("{")[0], labels, value))
    return found


def expanded(expr):
    """The expression with those of recording rules in place of their names."""
    records = {rule["record"]: rule["expr"] for rule in all_rules() if "record" in rule}
    while any(name in expr for name in records):
        for name, own in records.items():
            expr = expr.replace(name, f"({own})")
    return expr


def matches(selector, labels):
    """Whether labels of the daemon's own are as a selector asks; those of the scrape are Prometheus'."""
    for name, operator, value in re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', selector):
        if name not in ("job", "instance", "namespace", "pod"):
            is_so = bool(re.fullmatch(value, labels.get(name, ""))) if "~" in operator else labels.get(name, "") == value
            if is_so == operator.startswith("!"):
                return False
    return True


def check_start_without_a_broker():
    found = exposition()
    alerts_have_series(found)
    only_partitions_are_missed(found)
    states_are_shown(found)


def alerts_have_series(found):
    used = set()
    for rule in alerts():
        for metric, selector in selectors(expanded(rule["expr"])):
            if metric == "up":
                continue
            there = any(name == metric and matches(selector, labels) for name, labels, _ in found)
            used.add(metric)
            said = f"{rule['alert']}: {selector} has no series at the start, so nothing can be compared with it"
            need(there or metric in BORN_LATER, f"{said}; start it in src/metrics.rs, or say in BORN_LATER why that is right")
            need(not (there and metric in BORN_LATER), f"BORN_LATER: {selector} is there from the start")
    need(set(BORN_LATER) <= used, f"BORN_LATER: no alert asks for {set(BORN_LATER) - used}")


def only_partitions_are_missed(found):
    """If it stays so, the alert of a daemon that nobody answers fires within half an hour, and no other."""
    asked_for = set(METRIC.findall(" ".join(expanded(rule["expr"]) for rule in all_rules())))
    series = [
        {"series": name + "{" + ", ".join(f'{label}="{value}"' for label, value in labels.items()) + "}", "values": f"{value}x60"}
        for name, labels, value in found
        # promtool's clock begins at 0.
        if re.sub(r"_(sum|count)$", "", name) in asked_for and "timestamp" not in name and name != "process_start_time_seconds"
    ]
    need(len(series) > 50, f"{len(series)} series")
    test = {
        "rule_files": [str(file) for file in rule_files()], "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": [{
            "expr": 'count by (alertname) (ALERTS{alertstate="firing"})', "eval_time": "30m",
            "exp_samples": [{"labels": '{alertname="DriftdNoPartitions"}', "value": 1}],
        }]}],
    }
    with folder() as place:
        file = pathlib.Path(place) / "test.yaml"
        file.write_text(yaml.safe_dump(test))
        run([server("prometheus", "promtool"), "test", "rules", file])


# Label of a closed set, by its family: a panel that draws one by numbers has to know all of its words.
STATES = {"driftd_model_drift_state": "state", "driftd_model_quality": "quality", "driftd_incident_state": "state"}


def states_are_shown(found):
    for file, dashboard in dashboards():
        for where, expr in queries(dashboard):
            for family, label in STATES.items():
                shown = re.findall(rf'{family}\{{{label}="(\w+)"', expr)
                known = {labels[label] for name, labels, _ in found if name == family}
                need(len(known) > 3, f"{family}: {known}")
                need(len(shown) < 2 or set(shown) == known, f"{file}: {where} does not know {known - set(shown)}")

"""The stack of compose.yaml without containers: real Kafka, real driftd, real Prometheus.

Every query of every dashboard and rule must return data there. One driftd runs with the
configuration of compose.yaml as it stands; a second one watches the same topic with a baseline that
does not fit, so that there are faults, gaps and a webhook that nobody takes.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import time
import urllib.parse
import urllib.request

from common import DEPLOY, DRIFTD, dashboards, folder, need, ports, queries, run, selectors, server
from common import rules as all_rules
from examples import gate_queries, payload_paths

# Born with their first event, which a sound daemon does not have.
NOT_HERE = {"driftd_records_lost_total", "driftd_state_rejected_total"}
# What the misfit must raise.
ALERTED = ["DriftdModelDrifted", "DriftdFeatureDrift", "DriftdFeatureFault", "DriftdFeatureMissing"]
LIMIT_SECONDS = 240

MISFIT = """
kafka: {{brokers: ["{kafka}"], group: misfit}}
models:
  - name: misfit
    topic: fraud.inferences
    fields: {{features: /features, prediction: /prediction, event_time: {{pointer: /ts, unit: ms}}}}
    start: earliest
    pane: 5s
    lateness: 5s
    checks: [{{feature: amount, mean: [0, 1000]}}]
    drift_config:
      window: 10m
      reference_dataset: {baseline}
      thresholds: {{psi_alert: 0.1, psi_retrain: 0.2, prediction_drift_p_value: 0.001, confidence_drift_p_value: 0.001}}
      design_effect: 1
      retraining_trigger: {{webhook: "http://127.0.0.1:9/nobody", allow_http: true}}
dead_letter: {{topic: dead}}
state: {{dir: {state}}}
http: {{public: "{public}", admin: "{admin}"}}
"""

# Amounts in another unit, customers who were older, and a column that no record has.
TRAIN = """
import pyarrow as pa, pyarrow.compute as pc, pyarrow.parquet as pq, sys
table = pq.read_table(sys.argv[1])
table = table.set_column(table.column_names.index("amount"), "amount", pc.multiply(table["amount"], 0.01))
table = table.set_column(table.column_names.index("age_days"), "age_days", pc.multiply(table["age_days"], 1.7))
pq.write_table(table.append_column("ghost", table["age_days"]), sys.argv[2])
"""


class Stack:
    """Everything of it, ended on exit in the order that it was started in, backwards."""

    def __init__(self, place):
        self.place = pathlib.Path(place)
        self.processes = []
        self.servers = []

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for _, process, log in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            log.close()
        for name, where in reversed(self.servers):
            server(name, "stop", where)

    def start(self):
        python = server("python", "python")
        kafka = self.server("kafka")
        retrain, *own = ports(5)
        baseline = self.place / "baselines/fraud.parquet"
        self.spawn("model", [python, DEPLOY / "compose/model.py"], KAFKA_BROKERS=kafka, BASELINE=baseline,
                   PORT=retrain.split(":")[1], BACKFILL_SECONDS="1500", DRIFT_AFTER_SECONDS="86400")
        self.wait("the model", lambda: fetch(f"http://{retrain}/ready") is not None)
        misfit = self.place / "misfit.parquet"
        run([python, "-c", TRAIN, baseline, misfit])
        self.environment = {
            "KAFKA_BROKERS": kafka, "BASELINE": baseline, "RETRAIN_URL": f"http://{retrain}/retrain",
            "STATE_DIR": self.place / "state", "PUBLIC": own[0], "ADMIN": own[1],
        }
        run([DRIFTD, "validate", "--offline", "-c", DEPLOY / "compose/driftd.yaml"], env=self.env(self.environment))
        self.admin = own[1]
        self.spawn("driftd", [DRIFTD, "run", "-c", DEPLOY / "compose/driftd.yaml"], **self.environment)
        config = self.place / "misfit.yaml"
        config.write_text(MISFIT.format(kafka=kafka, baseline=misfit, state=self.place / "misfit", public=own[2], admin=own[3]))
        self.spawn("misfit", [DRIFTD, "run", "-c", config])
        self.prometheus = self.server("prometheus", own[0], own[2])
        # The rules as they are shipped, on what is scraped.
        settings = self.place / "prometheus/prometheus.yml"
        settings.write_text(settings.read_text() + f"rule_files: ['{DEPLOY}/prometheus/driftd-rules-*.yaml']\n")
        os.kill(int((self.place / "prometheus/pid").read_text()), signal.SIGHUP)
        # Only what follows a first scrape is a change.
        scraped = 'driftd_retrain_triggers_total{model="fraud"} == 0 and on (model) driftd_baseline_loaded_timestamp_seconds'
        self.wait("a first scrape", lambda: self.ask(scraped, time.time() - 5))
        fetch(f"http://{retrain}/drift", b"")

    def server(self, name, *arguments):
        where = self.place / name
        address = server(name, "start", where, *arguments)
        self.servers.append((name, where))
        return address

    def env(self, extra):
        return {**os.environ, **{name: str(value) for name, value in extra.items()}}

    def spawn(self, name, command, **environment):
        log = open(self.place / f"{name}.log", "w")
        process = subprocess.Popen([str(part) for part in command], env=self.env(environment), stdout=log, stderr=log)
        self.processes.append((name, process, log))

    def wait(self, what, ready):
        deadline = time.monotonic() + LIMIT_SECONDS
        while not ready():
            for name, process, _ in self.processes:
                need(process.poll() is None, f"{name} has ended:\n{self.tail(name)}")
            need(time.monotonic() < deadline, f"{what} is not there in time\n" + "\n".join(self.tail(name) for name, *_ in self.processes))
            time.sleep(0.2)

    def tail(self, name):
        return (self.place / f"{name}.log").read_text()[-2000:]

    def ask(self, expr, begin):
        """Whether the expression has had data since then."""
        step = max(1, int((time.time() - begin) / 200))
        query = urllib.parse.urlencode({"query": expr, "start": begin, "end": time.time(), "step": step})
        answer = fetch(f"http://{self.prometheus}/api/v1/query_range", query.encode())
        need(answer is not None and answer["status"] == "success", f"{expr}: {answer}")
        return bool(answer["data"]["result"])


def fetch(url, body=None):
    """The JSON of an answer, {} of another one; None while there is none."""
    try:
        text = urllib.request.urlopen(url, body, timeout=10).read()
    except urllib.error.HTTPError as refused:
        text = refused.read() if refused.code == 400 else None
    except OSError:
        return None
    try:
        return text if text is None else json.loads(text)
    except ValueError:
        return {}


def filled(expr):
    """The expression with Grafana's variables filled in."""
    for name, value in [("__rate_interval", "10s"), ("__range", "1m"), ("__interval", "10s"), ("statistic", "psi"),
                        ("model", ".*"), ("feature", ".*"), ("instance", ".*")]:
        expr = expr.replace(f"${name}", value)
    need("$" not in expr, f"a variable that the test does not know: {expr}")
    return expr


# Alternatives that are born with their event.
EVENTS = re.compile(r'outcome="(stopped|gave_up|slow_retry)"')


def expected():
    """What must have data, as {expression: where it stands}."""
    found = {}
    for file, dashboard in dashboards():
        for where, expr in queries(dashboard):
            found.setdefault(filled(expr), f"{file}: {where}")
    for rule in all_rules():
        expr, name = rule["expr"], rule.get("alert") or rule["record"]
        if "record" in rule:
            found.setdefault(name, rule["file"])
        for metric, selector in selectors(expr):
            if metric not in NOT_HERE and not EVENTS.search(selector):
                found.setdefault(selector, name)
    for name in ALERTED:
        found.setdefault(f'ALERTS{{alertname="{name}"}}', "an alert that must be pending")
    for expr in gate_queries():
        found.setdefault(expr, "a gate of a canary")
    return found


def check_live_queries_return_data():
    with folder() as place, Stack(place) as stack:
        begin = time.time() - 1
        missing = expected()

        def complete():
            for expr in [expr for expr in missing if stack.ask(expr, begin)]:
                del missing[expr]
            return not missing

        try:
            stack.wait("data of every query", complete)
        except Exception as fault:
            said = "\n".join(f"{where}: {expr}" for expr, where in missing.items())
            need(False, f"no data from\n{said}\n{fault}")
        states = fetch(f"http://{stack.admin}/api/v1/incidents")["incidents"]
        need(states, "the drift of the model was not seen")
        environment = stack.env({**stack.environment, "DRIFTD_CONFIG": DEPLOY / "compose/driftd.yaml"})
        run([DRIFTD, "incidents", "list"], env=environment)
        run([DRIFTD, "alive", "--config", DEPLOY / "compose/driftd.yaml"], env=environment)
        bodies = re.findall(r"^retraining asked for: (.*)$", (stack.place / "model.log").read_text(), re.M)
        need(bodies, "no webhook came")
        for path in payload_paths():
            value = json.loads(bodies[0])
            for key in path.split("."):
                need(key in value, f"the webhook's body has no {path}: {value}")
                value = value[key]

"""Alertmanager: its configuration is valid, and alerts go where routes-test.yaml says."""

import datetime
import http.server
import json
import pathlib
import threading
import time
import urllib.request

from common import DEPLOY, alerts, folder, need, run, server

import yaml

CONFIG = DEPLOY / "alertmanager/alertmanager.yaml"


def check_alertmanager_configuration():
    amtool = server("alertmanager", "amtool")
    run([amtool, "check-config", CONFIG])


def check_alertmanager_routes():
    amtool = server("alertmanager", "amtool")
    cases = yaml.safe_load((CONFIG.parent / "routes-test.yaml").read_text())
    cases += [
        {"labels": {"alertname": rule["alert"], **rule["labels"]}, "receivers": [expected(rule["labels"])]}
        for rule in alerts()
    ]
    for case in cases:
        labels = [f"{name}={value}" for name, value in case["labels"].items()]
        got = run([amtool, "config", "routes", "test", f"--config.file={CONFIG}", *labels])
        need(got.strip().split(",") == case["receivers"], f"{labels} goes to {got.strip()}, not {case['receivers']}")


def expected(labels):
    if labels["audience"] == "ml":
        return "ml-slack"
    return "sre-pagerduty" if labels["severity"] == "critical" else "sre-slack"


# What fires, and which of it is inhibited.
INHIBITED = [
    ({"alertname": "DriftdDown", "namespace": "a"}, False),
    ({"alertname": "DriftdModelDrifted", "namespace": "a", "model": "fraud"}, True),
    ({"alertname": "DriftdModelDrifted", "namespace": "b", "model": "fraud"}, False),
    ({"alertname": "DriftdFeatureDrift", "namespace": "b", "model": "fraud", "feature": "amount"}, True),
    ({"alertname": "DriftdFeatureDrift", "namespace": "b", "model": "churn", "feature": "amount"}, False),
    ({"alertname": "DriftdFeatureFault", "namespace": "b", "model": "churn", "feature": "zip"}, False),
    ({"alertname": "DriftdFeatureMissing", "namespace": "b", "model": "churn", "feature": "zip"}, True),
    ({"alertname": "DriftdInputStale", "namespace": "c", "model": "fraud"}, False),
    ({"alertname": "DriftdInsufficientData", "namespace": "c", "model": "fraud"}, True),
    ({"alertname": "DriftdInsufficientData", "namespace": "c", "model": "churn"}, False),
    ({"alertname": "DriftdWebhookFailing", "namespace": "c", "target": "argo"}, False),
    ({"alertname": "DriftdWebhookPending", "namespace": "c", "target": "argo"}, True),
    ({"alertname": "DriftdNoPartitions", "namespace": "d", "topic": "t"}, False),
    ({"alertname": "DriftdInputStale", "namespace": "d", "model": "fraud"}, True),
    ({"alertname": "DriftdConsumerLag", "namespace": "e", "topic": "t"}, False),
    ({"alertname": "DriftdWindowIncomplete", "namespace": "e", "model": "fraud"}, True),
    ({"alertname": "DriftdMisconfigured", "namespace": "f", "model": "fraud"}, False),
    ({"alertname": "DriftdFeatureMissing", "namespace": "f", "model": "fraud", "feature": "x"}, True),
]


def check_alertmanager_inhibits():
    """A real Alertmanager is given alerts and asked which of them it would hold back."""
    own = {rule["alert"]: rule["labels"] for rule in alerts()}
    end = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)).isoformat()
    sent = [{"labels": {**labels, **own[labels["alertname"]]}, "endsAt": end} for labels, _ in INHIBITED]
    with folder() as place:
        address = server("alertmanager", "start", place, CONFIG)
        try:
            post(f"http://{address}/api/v2/alerts", sent)
            wanted = {key(alert["labels"]): inhibited for alert, (_, inhibited) in zip(sent, INHIBITED, strict=True)}
            for _ in range(100):
                got = {key(one["labels"]): bool(one["status"]["inhibitedBy"]) for one in get(f"http://{address}/api/v2/alerts")}
                if got == wanted:
                    return
                time.sleep(0.1)
            wrong = [name for name, held in wanted.items() if got.get(name) != held]
            need(False, f"wrongly inhibited or not: {wrong}")
        finally:
            server("alertmanager", "stop", place)


def check_alertmanager_messages():
    """Two alerts sent to receivers that are ours: the templates of the messages are run."""
    rules = {rule["alert"]: rule for rule in alerts()}
    got = {}

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            got[self.path] = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(202 if "pager" in self.path else 200)
            self.end_headers()
            self.wfile.write(b"ok" if "slack" in self.path else b'{"status": "success"}')

        def log_message(self, *_):
            pass

    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{receiver.server_port}"
    with folder() as place:
        here = pathlib.Path(place)
        for name in ["slack-ml", "slack-sre"]:
            (here / name).write_text(f"{url}/{name}\n")
        (here / "pagerduty").write_text("a" * 32)
        text = CONFIG.read_text().replace("/etc/alertmanager/secrets", place).replace("group_wait: 30s", "group_wait: 0s")
        text = text.replace("      - routing_key_file:", f"      - url: {url}/pagerduty\n        routing_key_file:")
        (here / "alertmanager.yaml").write_text(text)
        address = server("alertmanager", "start", here / "run", here / "alertmanager.yaml")
        try:
            end = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)).isoformat()
            sent = [(name, {**rules[name]["labels"], "alertname": name, "namespace": f"of-{name}", "model": "fraud"})
                    for name in ["DriftdModelDrifted", "DriftdDown", "DriftdConsumerLag"]]
            post(f"http://{address}/api/v2/alerts", [
                {"labels": labels, "annotations": rules[name]["annotations"], "endsAt": end} for name, labels in sent])
            for _ in range(200):
                if len(got) == 3:
                    break
                time.sleep(0.1)
            need(set(got) == {"/slack-ml", "/slack-sre", "/pagerduty"}, f"messages at {set(got)}:\n{(here / 'run/log').read_text()[-2000:]}")
        finally:
            server("alertmanager", "stop", here / "run")
            receiver.shutdown()
    message = got["/slack-ml"]["attachments"][0]
    need(message["title"] == rules["DriftdModelDrifted"]["annotations"]["summary"], message)
    need("|runbook>" in message["text"] and "DriftdModelDrifted.md" in message["text"], message)
    page = got["/pagerduty"]["payload"]
    need(page["severity"] == "critical" and page["summary"].startswith("DriftdDown: "), page)


def key(labels):
    return json.dumps(labels, sort_keys=True)


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    urllib.request.urlopen(request, timeout=10).read()


def get(url):
    return json.load(urllib.request.urlopen(url, timeout=10))

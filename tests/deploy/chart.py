"""The Helm chart: linted, rendered twice alike, of valid objects, with configurations that driftd takes."""

import json

import helm_python

import schemas
from common import DEPLOY, alerts, dashboards, documents, folder, need
from common import rules as all_rules

import yaml

CHART = DEPLOY / "helm/driftd"


def values():
    """Every example as (name, text, values)."""
    for file in sorted((CHART / "ci").glob("*-values.yaml")):
        text = file.read_text()
        yield file.stem.removesuffix("-values"), text, yaml.safe_load(text)


def render(given, name="driftd", path=CHART):
    with helm_python.Chart.load(str(path)) as chart:
        chart.validate_schema(chart.merge_values(given))
        return chart.render(given, name=name, namespace="ml")


def objects(given):
    found = [one for path, text in sorted(render(given).items()) if not path.endswith(".txt") for one in documents(text)]
    return {(one["kind"], one["metadata"]["name"]): one for one in found}


def refused(given):
    try:
        render(given)
    except helm_python.HelmError as error:
        return str(error)
    return None


def check_chart_is_clean():
    for name, _, given in [("defaults", "", {}), *values()]:
        report = helm_python.lint(str(CHART), given, strict=True, kube_version="v1.31.0")
        said = [message for message in report["messages"] if "icon is recommended" not in str(message)]
        need(not said, f"{name}: {said}")


def check_chart_renders_the_same_twice():
    for name, _, given in values():
        need(render(given) == render(given), f"{name} renders differently the second time")
    sources = "".join(file.read_text() for file in (CHART / "templates").iterdir())
    for word in ["lookup", "rand", "uuidv4", "now ", "genCA", "genSelf", "Capabilities", "helm.sh/hook"]:
        need(word not in sources, f"templates use {word}: what is rendered must follow from the values")


def check_chart_packaged_is_the_same():
    """The archive has rules and dashboards in place of the links to them."""
    given = next(given for name, _, given in values() if name == "file")
    with folder() as place, helm_python.Chart.load(str(CHART)) as chart:
        need(render(given, path=chart.save(place)) == render(given), "the packaged chart renders differently")


def check_chart_objects_are_valid():
    for name, _, given in values():
        schemas.need_valid(f"chart {name}", list(objects(given).values()))
        for one in objects(given).values():
            schemas.need_restricted(f"chart {name}", one)
            need(one["kind"] != "Secret", f"{name}: the chart writes a Secret")


def check_chart_makes_of_a_backend_what_it_needs():
    by_name = {name: objects(given) for name, _, given in values()}
    file = by_name["file"]["StatefulSet", "driftd"]["spec"]
    need(file["replicas"] == 1 and file["volumeClaimTemplates"][0]["metadata"]["name"] == "state", "file: one replica, one claim")
    for name in ["plain", "claim"]:
        need(by_name[name]["Deployment", "driftd"]["spec"]["strategy"] == {"type": "Recreate"}, f"{name}: Recreate")
    kafka = by_name["kafka"]["Deployment", "driftd"]["spec"]
    need("replicas" not in kafka and kafka["strategy"]["type"] == "RollingUpdate", "kafka: KEDA sets the replicas")
    http = by_name["tls"]["StatefulSet", "driftd"]["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]["httpGet"]
    need(http["scheme"] == "HTTPS", "a listener with TLS is probed by TLS")
    endpoint = by_name["tls"]["ServiceMonitor", "driftd"]["spec"]["endpoints"][0]
    need(endpoint["scheme"] == "https" and endpoint["tlsConfig"], "a listener with TLS is scraped by TLS")
    topics = [one["metadata"]["topic"] for one in by_name["kafka"]["ScaledObject", "driftd"]["spec"]["triggers"]]
    need(topics == ["fraud.inferences", "churn.inferences"], f"a trigger for each topic, not {topics}")
    given = next(given for name, _, given in values() if name == "kafka")
    given["keda"] = {**given["keda"], "lagThreshold": 1_000_000, "cooldownPeriod": 1_000_000}
    scaled = objects(given)["ScaledObject", "driftd"]["spec"]
    need(scaled["triggers"][0]["metadata"]["lagThreshold"] == "1000000" and scaled["cooldownPeriod"] == 1_000_000, scaled)


def check_chart_follows_the_listeners():
    by_name = {name: objects(given) for name, _, given in values()}

    def pod_ports(name):
        workload = next(one for (kind, _), one in by_name[name].items() if kind in ("StatefulSet", "Deployment"))
        container = workload["spec"]["template"]["spec"]["containers"][0]
        probed = {container[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
        need(probed == {"metrics"}, f"{name}: probes at {probed}")
        return {port["name"]: port["containerPort"] for port in container["ports"]}

    def service_ports(name):
        return {port["name"]: (port["port"], port["targetPort"]) for port in by_name[name]["Service", "driftd"]["spec"]["ports"]}

    for name in by_name:
        admin = name == "admin"
        need(pod_ports(name) == ({"metrics": 8080, "admin": 8443} if admin else {"metrics": 9464}), f"{name}: {pod_ports(name)}")
        wanted = {"metrics": (9464, "metrics"), **({"admin": (8443, "admin")} if admin else {})}
        need(service_ports(name) == wanted, f"{name}: {service_ports(name)}")
    ingress = by_name["admin"]["NetworkPolicy", "driftd"]["spec"]["ingress"]
    reached = {rule["ports"][0]["port"]: rule["from"] for rule in ingress}
    given = next(given for name, _, given in values() if name == "admin")["networkPolicy"]
    need(reached == {"metrics": given["from"], "admin": given["adminFrom"]}, f"NetworkPolicy: {reached}")
    ingress = by_name["file"]["NetworkPolicy", "driftd"]["spec"]["ingress"]
    need([rule["ports"][0]["port"] for rule in ingress] == ["metrics"], "nobody reaches a listener on loopback")


def check_chart_takes_a_config_map_that_is_there():
    given = {"existingConfigMap": "own", "config": {"state": {"backend": "kafka"}, "http": {"public": "0.0.0.0:8080"}}, "replicas": 2}
    found = objects(given)
    need(("ConfigMap", "driftd") not in found, "the chart writes none then")
    pod = found["Deployment", "driftd"]["spec"]["template"]
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    need(volumes["config"]["configMap"] == {"name": "own"}, volumes["config"])
    need(pod["spec"]["containers"][0]["ports"] == [{"name": "metrics", "containerPort": 8080}], "what is repeated under config counts")
    need(refused({"existingConfigMap": "own"}) is None, "its name is enough where all else is the default")
    scaled = {"enabled": True}
    said = refused({**given, "keda": scaled})
    need(said and "config.kafka.brokers" in said, f"KEDA without brokers and topics: {said}")
    repeated = {**given["config"], "kafka": {"brokers": ["kafka:9092"]}, "topic": "t"}
    need(refused({**given, "config": repeated, "keda": scaled}) is None, "KEDA with brokers and topics")


def check_chart_refuses_what_cannot_work():
    config = {"kafka": {"brokers": ["kafka:9092"]}, "topic": "t", "drift_config": {"reference_dataset": "s3://b/k"}}
    for given, word in [
        ({"config": config, "replicas": 2}, "replicas"),
        ({"config": config, "keda": {"enabled": True}}, "keda"),
        ({"config": config, "replica": 1}, "replica"),
        ({"config": config, "keda": {"minReplicas": 0}}, "minReplicas"),
        ({"config": config, "metrics": {"prometheusRule": {"enabled": "yes"}}}, "enabled"),
        ({"config": config, "secretMounts": [{"secret": "a"}]}, "path"),
        ({}, "existingConfigMap"),
        ({"config": {**config, "state": {"dir": "/data"}}}, "config.state.dir: /data"),
        ({"config": {**config, "state": {"dir": "/var/lib/driftd-2"}}}, "/var/lib/driftd"),
        ({"config": {**config, "http": {"public": "127.0.0.1:9464"}}}, "0.0.0.0:9464"),
        ({"config": {**config, "http": {"public": "${PUBLIC}"}}}, "config.http.public: ${PUBLIC}"),
        ({"config": {**config, "http": {"admin": "0.0.0.0:0"}}}, "config.http.admin"),
        ({"config": {**config, "http": {"admin": "0.0.0.0:9464"}}}, "port 9464"),
    ]:
        said = refused(given)
        need(said and word in said, f"{given} is not refused by {word}: {said}")
    need(refused({"config": {**config, "state": {"backend": "kafka"}}, "replicas": 2}) is None, "two replicas on kafka are right")
    need(refused({"config": config}) is None, "the least is refused")
    need(refused({"config": {**config, "state": {"dir": "/var/lib/driftd/fraud/"}}}) is None, "a folder of the volume")
    own = {"extraVolumes": [{"name": "data", "emptyDir": {}}], "extraVolumeMounts": [{"name": "data", "mountPath": "/data"}]}
    need(refused({"config": {**config, "state": {"dir": "/data/driftd"}}, **own}) is None, "a volume of one's own")


def check_chart_carries_rules_and_dashboards():
    given = next(given for name, _, given in values() if name == "file")
    found = objects(given)
    groups = found["PrometheusRule", "driftd"]["spec"]["groups"]
    rendered = {rule.get("alert") or rule["record"]: rule for group in groups for rule in group["rules"]}
    wanted = {rule.get("alert") or rule["record"]: rule for rule in all_rules()}
    need(set(wanted) - set(rendered) == {"DriftdConfigWarnings"}, "all rules but the one that the values leave out")
    for name, rule in rendered.items():
        for key in ["expr", "for", "labels", "keep_firing_for"]:
            need(rule.get(key) == wanted[name].get(key), f"{name}: {key} differs from the file")
        if "alert" in rule:
            need(rule["annotations"]["runbook_url"] == f"https://runbooks.example/{name}.md", f"{name}: {rule['annotations']}")
            need(rule["annotations"]["summary"] == wanted[name]["annotations"]["summary"], f"{name}: its summary differs")
    need(len([rule for rule in rendered.values() if "alert" in rule]) == len(alerts()) - 1, "an alert is missing")
    for file, dashboard in dashboards():
        text = found["ConfigMap", f"driftd-{file.removesuffix('.json')}"]["data"][f"driftd-{file}"]
        need(json.loads(text) == dashboard, f"{file} differs in the chart")


def check_chart_configurations_are_valid():
    for name, _, given in values():
        config = objects(given)["ConfigMap", "driftd"]["data"]["driftd.yaml"]
        need(yaml.safe_load(config) == given["config"], f"{name}: the configuration differs from the values")
        schemas.need_accepted(f"chart {name}", config)

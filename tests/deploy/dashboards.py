"""Grafana's dashboards as files: what Grafana itself would stumble over, and what people expect."""

from common import dashboards, need, panels, queries


def check_dashboards_are_well_formed():
    need(len(dashboards()) == 3, "three dashboards: overview, feature, operations")
    for file, dashboard in dashboards():
        uid = f"driftd-{file.removesuffix('.json')}"
        need(dashboard["uid"] == uid and dashboard["id"] is None, f"{file}: uid {dashboard['uid']}, id {dashboard['id']}")
        need("__inputs" not in dashboard, f"{file}: __inputs cannot be provisioned")
        need(dashboard["schemaVersion"] == 39 and dashboard["tags"] == ["driftd"], f"{file}: schemaVersion or tags")
        names = [variable["name"] for variable in dashboard["templating"]["list"]]
        need(names[0] == "datasource", f"{file}: the data source comes first, others depend on it")
        ids = [panel["id"] for panel in panels(dashboard)]
        need(len(ids) == len(set(ids)), f"{file}: two panels have one id")
        for panel in panels(dashboard):
            one_panel(file, panel, names)
        overlap(file, dashboard)


def one_panel(file, panel, variables):
    where = f"{file}: {panel['title']}"
    if panel["type"] == "row":
        return
    need(panel["description"].endswith("."), f"{where}: a sentence of description")
    need(panel["fieldConfig"]["defaults"]["unit"], f"{where}: no unit")
    need(panel["targets"], f"{where}: no query")
    for target in [panel, *panel["targets"]]:
        source = target["datasource"]
        need(source == {"type": "prometheus", "uid": "${datasource}"}, f"{where}: data source {source}")
    for target in panel["targets"]:
        for name in variables:
            if f"${name}" in target["expr"] and name not in ("statistic", "datasource"):
                need(f'=~"${name}"' in target["expr"], f"{where}: ${name} may be several, match it by =~")


def overlap(file, dashboard):
    taken = {}
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        need(at["x"] + at["w"] <= 24, f"{file}: {panel['title']} is too wide")
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                need((x, y) not in taken, f"{file}: {panel['title']} covers {taken.get((x, y))}")
                taken[x, y] = panel["title"]


def check_dashboards_use_the_interval_of_the_scrape():
    for file, dashboard in dashboards():
        for where, expr in queries(dashboard):
            need("[5m]" not in expr and "[1m]" not in expr, f"{file}: {where}: use $__rate_interval or $__range")

"""Real streams from a folder: days permuted (so that every retraining is a false one), and as they are.

The first 40 % of the days are the baseline, the others are watched. The files are read as they are
handed out; their rows get time stamps from a common first day on, so that no file is too old.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyarrow import csv

import daemon
import peers
import streams
from daemon import Daemon

DAY_MS = 86_400_000
BASELINE_SHARE = 0.4
# What is injected into the first feature, a third into the watched days, and for how long it is looked for.
INJECTED = {"+1 sd": None, "x 1.5": None, "x 100": None}
INJECT_AT = 1 / 3
INJECT_DAYS = 20


@dataclass(frozen=True)
class Real:
    file: str
    label: str
    pane: str
    per_day: int
    features: tuple


STREAMS = {
    "elec2": Real("elec2.csv", "elec2 (5 features, 48 a day)", "30m", 48,
                  ("nsw_price", "nsw_demand", "vic_price", "vic_demand", "transfer")),
    "nyc": Real("nyc_taxi.csv", "nyc_taxi (1 feature, 48 a day)", "30m", 48, ("value",)),
    "bike": Real("bike_hour.csv", "bike_hour (6 features, 24 a day)", "1h", 24,
                 ("temp", "atemp", "hum", "windspeed", "casual", "registered")),
}


def load(folder, stream):
    """(day number, ms into the day, columns) of every row, in order of time."""
    table = csv.read_csv(folder / stream.file)
    if "dteday" in table.column_names:
        day = table["dteday"].cast(pa.date32()).cast(pa.int32()).to_numpy().astype(np.int64)
        into = table["hr"].to_numpy() * 3_600_000
    else:
        name = "ts" if "ts" in table.column_names else "timestamp"
        column = table[name]
        if pa.types.is_string(column.type):
            column = column.cast(pa.timestamp("ms"))
        ms = column.cast(pa.timestamp("ms", getattr(column.type, "tz", None))).cast(pa.int64()).to_numpy()
        day, into = ms // DAY_MS, ms % DAY_MS
    columns = {name: table[name].to_numpy().astype(float) for name in stream.features}
    order = np.argsort(day * DAY_MS + into, kind="stable")
    return day[order], into[order], {name: values[order] for name, values in columns.items()}


def arrange(day, into, columns, permutation):
    """The days one after the other, in their own or another order: (ms, columns, place of each row's day)."""
    days = np.unique(day)
    order = np.arange(len(days))
    if permutation is not None:
        order = streams.generator("days", permutation).permutation(len(days))
    place = np.empty(len(days), dtype=np.int64)
    place[order] = np.arange(len(days))
    of_row = place[np.searchsorted(days, day)]
    ms = streams.EPOCH_MS + of_row * DAY_MS + into
    sorted_rows = np.argsort(ms, kind="stable")
    return ms[sorted_rows], {name: values[sorted_rows] for name, values in columns.items()}, of_row[sorted_rows]


def table(ms, columns, rows):
    arrays = {"ts": pa.array(ms[rows], pa.timestamp("ms", "UTC"))}
    return pa.table(arrays | {name: pa.array(values[rows]) for name, values in columns.items()})


def inject(values, on, how, sd):
    return {
        "+1 sd": values + sd * on,
        "x 1.5": np.where(on, values * 1.5, values),
        "x 100": np.where(on, values * 100.0, values),
    }[how]


def run(kept, binary, scratch, data, name, permutation):
    kept.keep(lambda: measure(binary, scratch, data, name, permutation), "real", name, permutation or "as-it-is")


def measure(binary, scratch, data, name, permutation):
    stream = STREAMS[name]
    ms, columns, place = arrange(*load(data, stream), permutation)
    n_days = int(place[-1]) + 1
    first_live = int(np.ceil(BASELINE_SHARE * n_days))
    reference, live = place < first_live, place >= first_live
    ours = Daemon(binary, scratch)
    ours.learn(table(ms, columns, reference))
    start_ms = int(streams.EPOCH_MS + first_live * DAY_MS)
    close = ["--close-after", "1d"]
    out = {"days": n_days - first_live, "baseline_days": first_live, "rules": {}, "injected": {}}
    for rule in ("sequential", "window"):
        told = ours.watch(table(ms, columns, live), stream.pane, close, rule=rule)
        out["rules"][rule] = daemon.story(told, start_ms)
    out["psi_alone"] = psi_alone(columns, reference, live, stream.per_day)
    if permutation is None:
        return out
    first = stream.features[0]
    sd = float(columns[first][reference].std())
    # At noon, so that neither a day nor the test's grid begins with it.
    at_day = first_live + int(INJECT_AT * (n_days - first_live))
    at_ms = streams.EPOCH_MS + at_day * DAY_MS + DAY_MS // 2
    rows = live & (ms < at_ms + INJECT_DAYS * DAY_MS)
    for how in INJECTED:
        changed = columns | {first: inject(columns[first], ms >= at_ms, how, sd)}
        # Incidents are closed at once, so that an earlier, false one can't hide this.
        told = ours.watch(table(ms, changed, rows), stream.pane, ["--close-after", "1h"])
        told = daemon.story(told, start_ms)
        out["injected"][how] = told | {"at": (at_ms - start_ms) / daemon.MINUTE_MS}
    return out


def psi_alone(columns, reference, live, per_day):
    """How often the PSI of some feature over the last day's records is above 0.2, at most once a day."""
    worst = 0.0
    for values in columns.values():
        sorted_values = np.sort(values[reference])
        m = len(sorted_values)
        edges = np.unique(sorted_values[np.ceil(np.arange(1, 10) * m / 10).astype(int) - 1])
        share = np.bincount(np.searchsorted(edges, sorted_values), minlength=len(edges) + 1) / m
        codes = np.searchsorted(edges, values[live])
        counts = peers.windowed(np.eye(len(edges) + 1)[codes], per_day)
        worst = np.maximum(worst, peers.psi(share, counts / per_day))
    return {"alarms": peers.alarms(worst > 0.2, per_day), "share": float(np.mean(worst > 0.2))}

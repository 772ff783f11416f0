"""Broken feeds on a stream without drift: each must be named, and start nothing; a drift that begins
meanwhile must be found all the same."""

import json

import numpy as np

import daemon
import scenarios
import streams
import synthetic

BEGIN = 1477
AFTER = 360
# A drift that begins in a fault is watched for a day from there.
DRIFT_AFTER = 120
DRIFT_MINUTES = 1440


def ndjson(values, fault, file):
    """Records as JSON: only there does a key go missing, or a number become a text."""
    n = len(values["normal"])
    begin, end = BEGIN * streams.PER_MINUTE, (BEGIN + fault.minutes) * streams.PER_MINUTE
    times = streams.times(synthetic.LIVE, n).tolist()
    rows = streams.table(values, synthetic.LIVE).drop_columns(["ts"]).to_pylist()
    with file.open("w") as out:
        for at, (row, ts) in enumerate(zip(rows, times)):
            if begin <= at < end:
                fault.change(row)
            out.write(json.dumps({"ts": ts} | row) + "\n")


def gone(row):
    del row["uniform"]


def as_text(row):
    row["uniform"] = f"about {row['uniform']:.3f}"


# What only JSON can do; the others are in `scenarios`.
IN_JSON = [
    scenarios.Fault("key_gone", "the key is gone", "uniform", gone, "schema_change"),
    scenarios.Fault("type", "text in place of numbers", "uniform", as_text, "type_change"),
]
ALL = scenarios.FAULTS + IN_JSON


def run(kept, binary, scratch, seed):
    days = (BEGIN + 2 * DRIFT_MINUTES) / 1440
    lazy = synthetic.Lazy(binary, scratch, "independent", seed, days)
    at = BEGIN * streams.PER_MINUTE
    for fault in scenarios.FAULTS:

        def one():
            change = streams.until(fault.change, fault.minutes)
            values = lazy.live(fault.name, change, at)
            return lazy.replay(values, BEGIN + fault.minutes + AFTER, "1m")

        kept.keep(one, "fault", fault.name, seed)
    for fault in IN_JSON:

        def in_json():
            lazy.learn()
            n = (BEGIN + fault.minutes + AFTER) * streams.PER_MINUTE + 1
            file = lazy.daemon.folder / "live.ndjson"
            ndjson({name: array[:n] for name, array in lazy.columns()[1].items()}, fault, file)
            return daemon.story(lazy.daemon.replay(file, "1m", []), daemon.LIVE_MS)

        kept.keep(in_json, "fault", fault.name, seed)
    for feature in ("normal", "normal_too"):

        def with_drift():
            """30 % nulls in `normal` for six hours; two hours later +1 sd in it, or in another feature."""
            values = dict(lazy.columns()[1])
            on = streams.on(len(values[feature]), at + DRIFT_AFTER * streams.PER_MINUTE)
            values[feature] = values[feature] + 1.0 * on
            surge = streams.until(streams.null_surge("normal", 0.3), 360)
            surge(values, at, streams.generator("change", "drift in fault", seed))
            return lazy.replay(values, BEGIN + DRIFT_AFTER + DRIFT_MINUTES, "1m")

        kept.keep(with_drift, "fault-drift", feature, seed)


def named(told, fault):
    """Minutes from the beginning until it is named with its feature; None if never."""
    for event in told["events"]:
        for found in event.get("faults", []):
            if event["minute"] > BEGIN and (found["kind"], found.get("feature")) == (fault.kind, fault.feature):
                return event["minute"] - BEGIN
    return None


def others(told, fault):
    """Other names that were given, to whatever feature."""
    found = {(f["kind"], f.get("feature")) for event in told["events"] for f in event.get("faults", [])}
    return sorted(found - {(fault.kind, fault.feature)}, key=str)


def cleared(told, fault):
    """Minutes from the end of the fault until nothing is wrong; None if never."""
    end = BEGIN + fault.minutes
    quiet = [e["minute"] for e in told["events"] if e["kind"] == "fault" and not e.get("faults")]
    return next((minute - end for minute in quiet if minute > end), None)


def triggered(told):
    return next((e["minute"] for e in told["events"] if e["kind"] == "trigger"), None)


def median(values):
    values = [np.inf if value is None else value for value in values]
    return float(np.median(values)) if values else np.nan

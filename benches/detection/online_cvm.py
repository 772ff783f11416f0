#!/usr/bin/env python3
"""Alibi Detect's online Cramer-von Mises test on the one feature that drifts, in its own environment.

Its thresholds come from a simulation of at least ten times as many streams as the expected run time
has records. For one false alarm in 30 days of ten records a minute that is 4.3 million streams; so it
is configured for what it can be (`ERT` records), the time that took is told, and the statistic's
highest value on a stream without drift stands in for the threshold that it can't compute.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ERT = 2000
REFERENCE = 500
WINDOWS = [50, 200]


# Days without drift by kind of stream, and minutes before and after a change: 0.3 ms a record.
NULL_DAYS = {"independent": 5, "season": 1, "ar99": 1, "season_ar90": 1}
BEFORE, AFTER = 60, 1440


def run(kept, _binary, scratch, seed):
    """Hands the streams of a seed to this file in Alibi Detect's environment."""
    import scenarios
    import streams
    import synthetic

    python = Path(os.environ.get("DRIFTD_PEERS", Path.home() / ".cache/driftd-peers")) / "alibi/bin/python"

    def compute():
        lazy = synthetic.Lazy(None, scratch, "independent", seed, synthetic.DAYS)
        given = {"reference": lazy.columns()[0]["normal"][:REFERENCE].tolist(), "nulls": {}, "drifts": {}}
        for name, days in NULL_DAYS.items():
            # As for the other peers: no stream without drift is one of those that drift.
            _, live = streams.stream(streams.NULLS[name], 100 + seed, days)
            given["nulls"][name] = live["normal"].tolist()
        for drift in scenarios.DRIFTS:
            if drift.feature == "normal" and drift.null == "independent":
                values = lazy.live(drift.name, drift.change)["normal"]
                first = synthetic.AT - BEFORE * streams.PER_MINUTE
                last = synthetic.AT + AFTER * streams.PER_MINUTE
                given["drifts"][drift.name] = (values[first:last].tolist(), BEFORE * streams.PER_MINUTE)
        done = subprocess.run([python, __file__], input=json.dumps(given), capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{python} {__file__}: {done.stderr.strip()[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1])

    kept.keep(compute, "cvm", seed)


def statistics(detector, values):
    out = np.empty(len(values))
    for at, value in enumerate(values):
        out[at] = np.nanmax(detector.score(np.array([value], dtype=np.float32))) if at >= WINDOWS[0] else -np.inf
    return out


def main():
    """Standard input: {"reference": [...], "nulls": {name: [...]}, "drifts": {name: [[...], at]}}"""
    from alibi_detect.cd import CVMDriftOnline

    given = json.load(sys.stdin)
    started = time.process_time()
    reference = np.array(given["reference"], dtype=np.float32)[:, None]
    detector = CVMDriftOnline(reference, ERT, WINDOWS, n_bootstraps=10_000, batch_size=500, verbose=False)
    out = {"configured_seconds": time.process_time() - started, "nulls": {}, "drifts": {}}
    line = float(detector.thresholds[-1, 0])
    for name, values in given["nulls"].items():
        detector.reset_state()
        found = statistics(detector, values)
        over = found > line
        out["nulls"][name] = {
            "records": len(values),
            "alarms": int(np.sum(over[1:] & ~over[:-1])),
            "highest": float(found.max()),
        }
    honest = out["nulls"]["independent"]["highest"]
    for name, (values, at) in given["drifts"].items():
        detector.reset_state()
        found = statistics(detector, values)
        first = lambda over: int(np.flatnonzero(over)[0]) + 1 if over.any() else None
        out["drifts"][name] = {"at_ert": first(found[at:] > line), "honest": first(found[at:] > honest)}
    print(json.dumps(out))


if __name__ == "__main__":
    main()

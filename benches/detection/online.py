"""river's detectors on the one feature that drifts, value by value; they are told which it is.

Each is run at its default and at stricter settings, so that one which keeps the budget can be picked.
KSWIN takes 0.4 ms a value, so it gets a few seeds and shorter stretches.
"""

import numpy as np
from river import drift as river

import peers
import scenarios
import streams
import synthetic

ADWIN = [0.002, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12]
PAGE_HINKLEY = [50.0, 100.0, 200.0, 400.0, 800.0]
KSWIN_SEEDS = 4
KSWIN_MINUTES = 1440


def detectors(seed):
    """(name, make, minutes before and after the change that it is shown; None is all)"""
    out = [(f"adwin_{delta:g}", lambda delta=delta: river.ADWIN(delta=delta), None) for delta in ADWIN]
    out += [(f"page_hinkley_{line:g}", lambda line=line: river.PageHinkley(threshold=line), None) for line in PAGE_HINKLEY]
    if seed % 100 <= KSWIN_SEEDS:
        out.append(("kswin", lambda: river.KSWIN(seed=1), KSWIN_MINUTES))
    return out


def alarms(make, values):
    """Numbers of the values at which it said drift; it starts anew by itself."""
    detector, found = make(), []
    for at, value in enumerate(values.tolist()):
        detector.update(value)
        if detector.drift_detected:
            found.append(at)
    return np.array(found, dtype=int)


def null(kept, _binary, _scratch, name, seed, days):
    def compute():
        _, live = streams.stream(streams.NULLS[name], seed, days)
        out = {}
        for detector, make, minutes in detectors(seed):
            values = live["normal"][: None if minutes is None else minutes * streams.PER_MINUTE]
            found = alarms(make, values)
            over = np.zeros(len(values) // streams.PER_MINUTE + 1, dtype=bool)
            over[found // streams.PER_MINUTE] = True
            out[detector] = {"minutes": len(values) // streams.PER_MINUTE, "alarms": peers.alarms(over)}
        return out

    return kept.keep(compute, "null-online", name, seed)


def drifts(kept, _binary, scratch, null_name, seed):
    lazy = synthetic.Lazy(None, scratch, null_name, seed, synthetic.DAYS)
    for drift in scenarios.DRIFTS:
        if drift.null != null_name or drift.feature not in streams.NUMERIC:
            continue

        def compute():
            values = lazy.live(drift.name, drift.change)[drift.feature]
            out = {}
            for detector, make, minutes in detectors(seed):
                first, last = (0, synthetic.AT + scenarios.HORIZON_MINUTES * streams.PER_MINUTE)
                if minutes is not None:
                    first, last = synthetic.AT - 360 * streams.PER_MINUTE, synthetic.AT + minutes * streams.PER_MINUTE
                found = alarms(make, values[first:last]) + first
                after = found[found >= synthetic.AT]
                out[detector] = {
                    "delay": int(after[0] - synthetic.AT + 1) if len(after) else None,
                    # In the six hours before the change: then its delay means little.
                    "before": bool(np.any((found < synthetic.AT) & (found >= synthetic.AT - 3600))),
                }
            return out

        # A share of missing values is nothing that a detector of values is shown.
        if drift.name != "missing":
            kept.keep(compute, "drift-online", drift.name, seed)

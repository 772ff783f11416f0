#!/usr/bin/env python3
"""Are the peers' rules, as `peers.py` has them from counts, what the packages say? On single windows.

Runs in Evidently's environment: `~/.cache/driftd-peers/evidently/bin/python benches/detection/agree.py`.
"""

import math
import warnings

import numpy as np
import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset
from scipy import stats

import peers
import scenarios
import streams
import synthetic

warnings.filterwarnings("ignore")
CASES = [("none", None, 0), ("shift_0.3", "normal", 900), ("spread_2", "normal", 1440), ("tail", "normal", 1440),
         ("swap", "five", 700), ("new_10", "five", 300), ("zeros_20", "zeros", 1440)]


def frame(values):
    return pd.DataFrame({name: array.astype(str) if name in streams.CATEGORICAL else array for name, array in values.items()})


def by_evidently(baseline, window):
    result = Report([DataDriftPreset()]).run(frame(window), frame(baseline)).dict()
    out = {}
    for metric in result["metrics"]:
        config = metric.get("config", {})
        if "column" in config and isinstance(metric["value"], float):
            out[config["column"]] = float(metric["value"])
    return out


def main():
    baseline, live = streams.stream(streams.NULLS["independent"], 1, synthetic.DAYS)
    references = {name: peers.Numeric(baseline[name]) for name in streams.NUMERIC}
    references |= {name: peers.Categorical(baseline[name]) for name in streams.CATEGORICAL}
    worst = {"evidently": 0.0, "ks": 0.0, "chi-square": 0.0}
    print("| case | feature | Evidently | ours | KS or chi-square p, SciPy | ours |\n|---|---|---:|---:|---:|---:|")
    for name, feature, minutes in CASES:
        values = dict(live)
        if feature:
            drift = next(d for d in scenarios.DRIFTS if d.name == name)
            drift.change(values, synthetic.AT, streams.generator("change", name, 1))
        end = synthetic.AT + minutes * streams.PER_MINUTE
        window = {key: array[end - streams.PER_DAY : end] for key, array in values.items()}
        evidently = by_evidently(baseline, window)
        for column in streams.FEATURES:
            ours = references[column].scores(window[column], peers.DAY, {"evidently", "p"})
            score, log_p = 0.1 * ours["evidently"][0], ours["p"][0]
            if column in streams.NUMERIC:
                known = lambda array: array[~np.isnan(array)]
                test = stats.ks_2samp(known(baseline[column]), known(window[column]), method="asymp")
                kind, p = "ks", test.pvalue
            else:
                n = max(baseline[column].max(), window[column].max()) + 1
                counts = [np.bincount(side[column], minlength=n) for side in (baseline, window)]
                kind, p = "chi-square", stats.chi2_contingency(counts, correction=False).pvalue
            worst["evidently"] = max(worst["evidently"], abs(score - evidently[column]))
            if p > 1e-12:
                worst[kind] = max(worst[kind], abs(math.log(p) + log_p))
            if feature in (None, column):
                print(f"| {name} | {column} | {evidently[column]:.5f} | {score:.5f} | {p:.3g} | {math.exp(-log_p):.3g} |")
    print("\nLargest difference: " + ", ".join(f"{name} {value:.4f}" for name, value in worst.items()) + " (of p: in its logarithm)")


if __name__ == "__main__":
    main()

"""What peers make of the same streams: a score a minute for each of their rules, over sliding windows.

A rule is a score (its worst feature's) and a line. The scores come from counts by minute, summed over
the window with one cumulative sum, so that every minute is looked at: calling the packages 4,000
times a stream would take days. `agree.py` holds the scores against the packages on single windows.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

import streams

PER_PANE = streams.PER_MINUTE
DAY, HOUR = 1440, 60
# An empty bin's share, as is customary (and as Evidently has it).
EMPTY = 1e-4
COOL_DOWN = 360


@dataclass(frozen=True)
class Rule:
    name: str
    label: str
    score: str
    window: int
    line: float


def log_p(p):
    return -math.log(p)


N = len(streams.FEATURES)
RULES = [
    Rule("psi_24h", "PSI > 0.2, 24 h", "psi", DAY, 0.2),
    Rule("psi_1h", "PSI > 0.2, 1 h", "psi", HOUR, 0.2),
    Rule("ks_24h", "KS / chi-square with Bonferroni (Alibi Detect KSDrift), 24 h", "p", DAY, log_p(0.05 / N)),
    Rule("ks_1h", "KS / chi-square with Bonferroni, 1 h", "p", HOUR, log_p(0.05 / N)),
    Rule("evidently_24h", "Evidently's default column tests, any, 24 h", "evidently", DAY, 1.0),
    Rule("nannyml_24h", "NannyML JS > mean + 3 sd, any, 24 h", "nannyml", DAY, 1.0),
]


def entropy_distance(p, q):
    """Jensen-Shannon distance, natural logarithm, of shares along the last axis."""
    half = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        a = np.where(p > 0, p * np.log(p / half), 0.0).sum(-1)
        b = np.where(q > 0, q * np.log(q / half), 0.0).sum(-1)
    return np.sqrt(np.maximum(a + b, 0.0) / 2)


def psi(p, q):
    p, q = np.where(p == 0, EMPTY, p), np.where(q == 0, EMPTY, q)
    return ((q - p) * np.log(q / p)).sum(-1)


def minutes(codes, n_codes):
    """Counts by minute, (T, n_codes); a negative code is a missing value."""
    n = len(codes) // PER_PANE
    codes = codes[: n * PER_PANE].reshape(n, PER_PANE)
    flat = (np.arange(n)[:, None] * n_codes + codes)[codes >= 0]
    return np.bincount(flat, minlength=n * n_codes).reshape(n, n_codes).astype(float)


def windowed(counts, window):
    """Sums over the last `window` minutes, from the first full one on."""
    sums = np.concatenate([np.zeros((1, counts.shape[1])), np.cumsum(counts, axis=0)])
    return sums[window:] - sums[:-window]


class Numeric:
    """A numeric feature's reference, and the scores of live values against it."""

    def __init__(self, reference):
        self.values = values = np.sort(reference[~np.isnan(reference)])
        m = len(values)
        order = lambda k: values[np.maximum(np.ceil(np.arange(1, k) * m / k).astype(int) - 1, 0)]
        self.deciles = np.unique(order(10))
        self.p_deciles = self.shares(self.deciles)
        # Evidently's distance: steps at quantiles, and at every one of the outermost values.
        self.steps = np.unique(np.concatenate([order(500), values[:100], values[-100:]]))
        self.cdf = np.searchsorted(values, self.steps, side="right") / m
        self.sd = max(values.std(), 1e-3)
        # NannyML's bins are numpy's `doane` on the reference; what lies outside is one more.
        self.doane = np.histogram_bin_edges(values, bins="doane")
        in_order = reference[~np.isnan(reference)]
        self.p_doane = np.append(np.histogram(values, self.doane)[0] / m, 0.0)
        chunks = np.array_split(in_order, streams.BASELINE_DAYS)
        of_chunk = [entropy_distance(self.p_doane, self.doane_shares(chunk)) for chunk in chunks]
        self.js_line = (np.mean(of_chunk) + 3 * np.std(of_chunk, ddof=1)) / math.sqrt(math.log(2))

    def shares(self, edges):
        cells = np.searchsorted(edges, self.values)
        return np.bincount(cells, minlength=len(edges) + 1) / len(self.values)

    def doane_codes(self, values):
        # As numpy.histogram: left-closed, the last bin closed on both sides.
        cells = np.searchsorted(self.doane, values, side="right") - 1
        cells[values == self.doane[-1]] = len(self.doane) - 2
        outside = (values < self.doane[0]) | (values > self.doane[-1])
        return np.where(np.isnan(values), -1, np.where(outside, len(self.doane) - 1, cells))

    def doane_shares(self, values):
        return np.bincount(self.doane_codes(values), minlength=len(self.doane)) / len(values)

    def scores(self, values, window, wanted):
        missing = np.isnan(values)
        coded = lambda edges: np.where(missing, -1, np.searchsorted(edges, values))
        out = {}
        if "psi" in wanted:
            counts = windowed(minutes(coded(self.deciles), len(self.deciles) + 1), window)
            out["psi"] = psi(self.p_deciles, counts / counts.sum(1, keepdims=True))
        if "p" in wanted or "evidently" in wanted:
            # Right-closed steps: the cumulative share at a step is of values up to it.
            counts = windowed(minutes(coded(self.steps), len(self.steps) + 1), window)
            n = counts.sum(1, keepdims=True)
            gap = np.cumsum(counts, axis=1)[:, :-1] / n - self.cdf
            if "p" in wanted:
                m = len(self.values)
                e = (n[:, 0] * m / (n[:, 0] + m)).astype(float)
                out["p"] = kolmogorov(np.abs(gap).max(1) * np.sqrt(e))
            if "evidently" in wanted:
                area = (np.abs(gap[:, :-1]) * np.diff(self.steps)).sum(1)
                beyond = np.maximum(values - self.steps[-1], 0) + np.maximum(self.steps[0] - values, 0)
                beyond = np.where(missing, 0.0, beyond)
                t = len(values) // PER_PANE
                sums = windowed(beyond[: t * PER_PANE].reshape(t, PER_PANE).sum(1)[:, None], window)
                out["evidently"] = (area + sums[:, 0] / n[:, 0]) / self.sd / 0.1
        if "nannyml" in wanted:
            counts = windowed(minutes(self.doane_codes(values), len(self.doane)), window)
            q = counts / counts.sum(1, keepdims=True)
            out["nannyml"] = entropy_distance(self.p_doane, q) / math.sqrt(math.log(2)) / self.js_line
        return out


class Categorical:
    """A categorical feature's; codes from `n` on are categories that the reference never had."""

    def __init__(self, reference):
        self.n = int(reference.max()) + 1
        self.counts = np.bincount(reference, minlength=self.n + 1).astype(float)
        self.p = self.counts / self.counts.sum()
        chunks = np.array_split(reference, streams.BASELINE_DAYS)
        shares = [np.bincount(chunk, minlength=self.n + 1) / len(chunk) for chunk in chunks]
        of_chunk = [entropy_distance(self.p, q) for q in shares]
        self.js_line = (np.mean(of_chunk) + 3 * np.std(of_chunk, ddof=1)) / math.sqrt(math.log(2))

    def scores(self, values, window, wanted):
        counts = windowed(minutes(np.minimum(values, self.n), self.n + 1), window)
        n = counts.sum(1, keepdims=True)
        q = counts / n
        out = {}
        if "psi" in wanted:
            # A category that neither side has is no bin.
            seen = (self.counts > 0) | (counts > 0)
            p_, q_ = np.where(self.p == 0, EMPTY, self.p), np.where(q == 0, EMPTY, q)
            out["psi"] = np.where(seen, (q_ - p_) * np.log(q_ / p_), 0.0).sum(1)
        if "p" in wanted:
            pool = (self.counts + counts) / (self.counts.sum() + n)
            with np.errstate(divide="ignore", invalid="ignore"):
                parts = np.where(pool > 0, (q - self.p) ** 2 / pool, 0.0)
            x2 = parts.sum(1) / (1 / n[:, 0] + 1 / self.counts.sum())
            out["p"] = -stats.chi2.logsf(x2, (pool > 0).sum(1) - 1)
        distance = entropy_distance(self.p, q) if {"evidently", "nannyml"} & set(wanted) else None
        if "evidently" in wanted:
            out["evidently"] = distance / 0.1
        if "nannyml" in wanted:
            out["nannyml"] = distance / math.sqrt(math.log(2)) / self.js_line
        return out


def kolmogorov(x):
    """-ln of the Kolmogorov tail, also where it is below what a float holds."""
    with np.errstate(divide="ignore"):
        near = -np.log(special.kolmogorov(x))
    return np.where(x > 4, 2 * x * x - math.log(2), near)


class Watch:
    """The scores of every rule on one stream, feature by feature, so that a drift of one is cheap."""

    def __init__(self, baseline, live):
        self.references = {name: Numeric(baseline[name]) for name in streams.NUMERIC}
        self.references |= {name: Categorical(baseline[name]) for name in streams.CATEGORICAL}
        self.clean = {name: self.of_feature(name, live[name]) for name in streams.FEATURES}

    def of_feature(self, name, values):
        reference = self.references[name]
        scores = {}
        for window in (DAY, HOUR):
            wanted = {rule.score for rule in RULES if rule.window == window}
            of_window = reference.scores(values, window, wanted)
            scores |= {(window, score): array for score, array in of_window.items()}
        return scores

    def scores(self, changed, n_minutes):
        """By rule: the worst feature's score in every minute, NaN until the window is full.

        `changed` holds the values of the features that differ from the clean stream.
        """
        features = self.clean | {name: self.of_feature(name, array) for name, array in changed.items()}
        out = {}
        for rule in RULES:
            worst = np.max([scores[rule.window, rule.score][: n_minutes - rule.window + 1] for scores in features.values()], axis=0)
            out[rule.name] = np.concatenate([np.full(rule.window - 1, np.nan), worst])
        return out


def alarms(over, cool_down=COOL_DOWN):
    """How often it acts: after each alarm nothing for so many minutes, then again if it still is over."""
    count, quiet = 0, -1
    for minute in np.flatnonzero(over):
        if minute > quiet:
            count += 1
            quiet = minute + cool_down
    return count


def of_null(scores, line):
    known = ~np.isnan(scores)
    over = np.nan_to_num(scores, nan=-np.inf) > line
    return {
        "minutes": int(known.sum()),
        "alarms": alarms(over),
        "share": float(over[known].mean()),
        "highest": float(np.nanmax(scores)),
    }


def of_drift(scores, at):
    """The score at the last minute before the change, and each new highest after it as (minutes since, score)."""
    after = scores[at:]
    highest = np.maximum.accumulate(after)
    new = np.flatnonzero(np.diff(highest, prepend=-np.inf) > 0)
    kept, last = [], -np.inf
    for minute in new:
        # A tenth of a percent is finer than any line is drawn.
        if not kept or highest[minute] > last + 1e-3 * abs(last):
            last = float(highest[minute])
            kept.append((int(minute) + 1, last))
    return {"before": float(scores[at - 1]), "highs": kept}


def delay(result, line):
    """Minutes until the score is over the line, None if never; and whether it was before the change."""
    found = next((minutes for minutes, score in result["highs"] if score > line), None)
    return found, result["before"] > line

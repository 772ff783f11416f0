"""The synthetic streams: ten features, ten records a minute, on demand dependent, seasonal and drifting.

Every feature is a quantile function of one latent standard normal, so that dependence and season
change when values come and never which values there are: the marginal law of a stream without drift
is the baseline's. All of it is a function of (null, seed): the baseline comes first, then the
stream, in one draw of latent values, so that the stream carries on where the baseline ended.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy import signal, special, stats

PER_MINUTE = 10
PER_DAY = 1440 * PER_MINUTE
BASELINE_DAYS = 7
# A Monday, 00:00 UTC: slots and days begin at round times.
EPOCH_MS = 1_767_571_200_000
STEP_MS = 60_000 // PER_MINUTE

# The five categories: exchanging the first and the fourth is a PSI of 0.385.
FIVE = np.array([0.35, 0.25, 0.16, 0.14, 0.10])
# Fifty, falling as in Zipf's law.
FIFTY = (1.0 / np.arange(1, 51)) / (1.0 / np.arange(1, 51)).sum()
ZEROS = 0.6
MISSING = 0.01
LATENTS = 10

NUMERIC = ["normal", "normal_too", "lognormal", "zeros", "integers", "uniform", "heavy", "rounded"]
CATEGORICAL = ["five", "fifty"]
FEATURES = NUMERIC + CATEGORICAL


@dataclass(frozen=True)
class Null:
    """What a stream is like without drift."""

    name: str
    label: str
    season: float = 0.0
    dependence: float = 0.0


NULLS = {
    null.name: null
    for null in [
        Null("independent", "independent"),
        Null("season", "season .5 sd", season=0.5),
        Null("ar99", "AR(1) .99", dependence=0.99),
        Null("season_ar90", "season .5 sd + AR(1) .9", season=0.5, dependence=0.9),
    ]
}


def generator(*parts):
    """A generator of its own for every purpose; hash() differs between processes, this does not."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:8], "little")))


def times(first, n):
    """Milliseconds of `n` records from number `first` on, counted from the start of the stream."""
    return EPOCH_MS + (first + np.arange(n, dtype=np.int64)) * STEP_MS


def latents(null, seed, n):
    """(LATENTS, n) standard normals: AR(1), correlated in the first two, with a season of the day.

    The season is scaled so that the law over a whole day has variance 1.
    """
    random = generator("latent", null.name, seed)
    z = random.standard_normal((LATENTS, n))
    if null.dependence:
        a = null.dependence
        z[:, 1:] *= np.sqrt(1 - a * a)
        z = signal.lfilter([1.0], [1.0, -a], z, axis=1)
    z[1] = 0.7 * z[0] + np.sqrt(1 - 0.49) * z[1]
    if null.season:
        day = np.sin(2 * np.pi * np.arange(n) / PER_DAY)
        z = (z + null.season * day) / np.sqrt(1 + null.season**2 / 2)
    return z


def columns(z, random):
    """The features of latent values: a dictionary of arrays, categories as codes, missing as NaN."""
    u = special.ndtr(z)
    values = {
        "normal": z[0].copy(),
        "normal_too": z[1].copy(),
        "lognormal": np.exp(z[2]),
        "zeros": np.where(u[3] < ZEROS, 0.0, -np.log1p(-np.clip((u[3] - ZEROS) / (1 - ZEROS), 0, 1 - 1e-12))),
        "integers": np.searchsorted(stats.poisson.cdf(np.arange(40), 6), u[4]).astype(float),
        "uniform": u[5],
        "heavy": stdtr_inverse(u[6]),
        "rounded": np.round(z[7], 1),
        "five": np.searchsorted(np.cumsum(FIVE)[:-1], u[8]),
        "fifty": np.searchsorted(np.cumsum(FIFTY)[:-1], u[9]),
    }
    values["rounded"][random.random(z.shape[1]) < MISSING] = np.nan
    return values


def stdtr_inverse(u):
    """Student's t with three degrees of freedom, by interpolation: its own inverse takes a second a day."""
    grid = special.ndtr(np.linspace(-8, 8, 4001))
    return np.interp(u, grid, special.stdtrit(3, grid))


def stream(null, seed, days):
    """(baseline, live): two dictionaries of arrays of `BASELINE_DAYS` and `days` days."""
    m = BASELINE_DAYS * PER_DAY
    n = m + int(days * PER_DAY)
    values = columns(latents(null, seed, n), generator("rest", null.name, seed))
    baseline = {name: array[:m] for name, array in values.items()}
    live = {name: array[m:] for name, array in values.items()}
    return baseline, live


# ---- drift: functions of (live columns, first record of the change, random), in place ----


def on(n, at):
    return np.arange(n) >= at


def shift(by):
    def apply(live, at, _random):
        live["normal"] = live["normal"] + by * on(len(live["normal"]), at)

    return apply


def spread(factor):
    def apply(live, at, _random):
        live["normal"] = live["normal"] * np.where(on(len(live["normal"]), at), factor, 1.0)

    return apply


def tail(live, at, random):
    """2 % of the records lie beyond +5 sd."""
    n = len(live["normal"])
    beyond = on(n, at) & (random.random(n) < 0.02)
    live["normal"] = np.where(beyond, 5.0 + np.abs(live["normal"]), live["normal"])


def ramp(to):
    """Rises to `to` within a day and stays."""

    def apply(live, at, _random):
        since = np.arange(len(live["normal"])) - at
        live["normal"] = live["normal"] + to * np.clip(since / PER_DAY, 0, 1)

    return apply


def recurring(live, at, _random):
    """+1 sd in two hours of every six."""
    since = np.arange(len(live["normal"])) - at
    live["normal"] = live["normal"] + 1.0 * ((since >= 0) & (since % (360 * PER_MINUTE) < 120 * PER_MINUTE))


def swap(live, at, _random):
    codes = np.array([3, 1, 2, 0, 4])
    live["five"] = np.where(on(len(live["five"]), at), codes[live["five"]], live["five"])


def new_category(share):
    def apply(live, at, random):
        n = len(live["five"])
        live["five"] = np.where(on(n, at) & (random.random(n) < share), len(FIVE), live["five"])

    return apply


def more_missing(live, at, random):
    """From 1 to 3 percent."""
    n = len(live["rounded"])
    gone = on(n, at) & (random.random(n) < 0.02 / (1 - MISSING))
    live["rounded"] = np.where(gone, np.nan, live["rounded"])


def more_zeros(share):
    """Of the feature with 60 % zeros, that share of all records becomes zero."""

    def apply(live, at, random):
        n = len(live["zeros"])
        live["zeros"] = np.where(on(n, at) & (random.random(n) < share), 0.0, live["zeros"])

    return apply


def times_hundred(feature):
    def apply(live, at, _random):
        live[feature] = live[feature] * np.where(on(len(live[feature]), at), 100.0, 1.0)

    return apply


def null_surge(feature, share):
    def apply(live, at, random):
        n = len(live[feature])
        live[feature] = np.where(on(n, at) & (random.random(n) < share), np.nan, live[feature])

    return apply


def constant(feature):
    def apply(live, at, _random):
        live[feature] = np.where(on(len(live[feature]), at), live[feature][at], live[feature])

    return apply


def unseen_surge(live, at, random):
    n = len(live["fifty"])
    live["fifty"] = np.where(on(n, at) & (random.random(n) < 0.8), len(FIFTY), live["fifty"])


def until(change, minutes):
    """The change for so long; then the stream is as it was."""

    def apply(live, at, random):
        before = {name: array.copy() for name, array in live.items()}
        change(live, at, random)
        end = at + minutes * PER_MINUTE
        for name in live:
            live[name] = np.where(np.arange(len(live[name])) < end, live[name], before[name])

    return apply


# ---- as Arrow ----


def table(values, first):
    """The columns as an Arrow table with their times; missing values are nulls."""
    n = len(values["normal"])
    arrays = {"ts": pa.array(times(first, n), pa.timestamp("ms", "UTC"))}
    for name in NUMERIC:
        array = values[name]
        arrays[name] = pa.array(array, mask=np.isnan(array))
    for name in CATEGORICAL:
        names = pa.array([f"{name[:2]}{i}" for i in range(60)])
        arrays[name] = pa.DictionaryArray.from_arrays(values[name].astype(np.int32), names).cast(pa.string())
    return pa.table(arrays)

"""What is tried: the drifts, with the delays that the reference measurements had, and the faults."""

from dataclasses import dataclass
from typing import Callable

import streams

NEVER = float("inf")


@dataclass(frozen=True)
class Drift:
    """One change of one feature; the reference's median delays in records, None where it has none.

    `real` is from its table without a threshold, `warning` and `retrain` from the one with them.
    """

    name: str
    label: str
    feature: str
    change: Callable
    null: str = "independent"
    real: float | None = None
    warning: float | None = None
    retrain: float | None = None


DRIFTS = [
    Drift("shift_0.1", "+.1 sd", "normal", streams.shift(0.1), real=NEVER),
    Drift("shift_0.3", "+.3 sd", "normal", streams.shift(0.3), real=2225, warning=NEVER, retrain=NEVER),
    Drift("shift_0.5", "+.5 sd", "normal", streams.shift(0.5), real=415, warning=370, retrain=370),
    Drift("shift_1", "+1 sd", "normal", streams.shift(1.0), real=105, warning=200, retrain=200),
    Drift("spread_1.5", "sd x 1.5", "normal", streams.spread(1.5), real=410, warning=410, retrain=1095),
    Drift("spread_2", "sd x 2", "normal", streams.spread(2.0), warning=210, retrain=210),
    Drift("tail", "2 % beyond +5 sd", "normal", streams.tail, real=245),
    Drift("ramp_0.5", "ramp to +.5 sd in a day", "normal", streams.ramp(0.5), real=8975),
    Drift("ramp_1", "ramp to +1 sd in a day", "normal", streams.ramp(1.0), warning=6110, retrain=8640),
    Drift("recurring", "+1 sd, 2 of 6 h", "normal", streams.recurring, real=105),
    Drift("swap", "category swap", "five", streams.swap, real=265, warning=240, retrain=240),
    Drift("new_1", "1 % new category", "five", streams.new_category(0.01), real=795),
    Drift("new_10", "10 % new category", "five", streams.new_category(0.1), warning=190, retrain=190),
    Drift("missing", "missing 1 to 3 %", "rounded", streams.more_missing, real=3315),
    Drift("zeros_20", "20 % more zeros", "zeros", streams.more_zeros(0.2), real=4975),
    Drift("zeros_80", "80 % more zeros", "zeros", streams.more_zeros(0.8), warning=210, retrain=210),
    Drift("season_shift_0.5", "+.5 sd", "normal", streams.shift(0.5), null="season", real=550),
    Drift("season_shift_1", "+1 sd", "normal", streams.shift(1.0), null="season", warning=210, retrain=210),
    Drift("ar_shift_1", "+1 sd", "normal", streams.shift(1.0), null="ar99", warning=10660, retrain=10660),
    Drift("ar_shift_2", "+2 sd", "normal", streams.shift(2.0), null="ar99", warning=2210, retrain=2210),
]


@dataclass(frozen=True)
class Fault:
    """A broken feed for `minutes`, which must be named `kind` and start nothing."""

    name: str
    label: str
    feature: str
    change: Callable
    kind: str
    minutes: int = 360


FAULTS = [
    Fault("nulls_30", "30 % nulls", "normal", streams.null_surge("normal", 0.3), "null_surge"),
    Fault("nulls_all", "nothing but nulls", "uniform", streams.null_surge("uniform", 1.1), "null_surge"),
    Fault("x100", "x 100 (positive values)", "lognormal", streams.times_hundred("lognormal"), "unit_change"),
    Fault("x100_zero_mean", "x 100 (mean 0)", "normal", streams.times_hundred("normal"), "unit_change"),
    Fault("x100_heavy", "x 100 (heavy tails)", "heavy", streams.times_hundred("heavy"), "unit_change"),
    Fault("constant", "stuck at one value", "integers", streams.constant("integers"), "constant"),
    Fault("unseen", "80 % unknown categories", "fifty", streams.unseen_surge, "unseen_surge"),
]
# Off the dyadic grid of the test's starts, and after the windows of the peers are full.
CHANGE_MINUTE = 1877
HORIZON_MINUTES = 2 * 1440
# Most drifts are found within this; only the others are watched for the whole horizon.
SOON_MINUTES = 240

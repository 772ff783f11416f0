"""numpy, pandas and polars on arrays of doubles that the bench wrote; edges include both ends."""

import os
import time
import warnings

# One thread, as driftd has for a column; its time is the process's, as it is not the caller's.
os.environ["POLARS_MAX_THREADS"] = "1"

import numpy as np
import pandas as pd
import polars as pl
from turn import serve

# Polars would rather have `cut` called by another name.
warnings.simplefilter("ignore", DeprecationWarning)
array = {}


def load(values, edges):
    array["values"], array["edges"] = np.fromfile(values), np.fromfile(edges)


def timed(count):
    """A turn is as many passes as the bench asks for, after one that warms up."""

    def turn(passes):
        values, edges = array["values"], array["edges"]
        counts = count(values, edges)
        before = time.process_time_ns()
        for _ in range(int(passes)):
            count(values, edges)
        seconds = (time.process_time_ns() - before) / 1e9
        return {"cpu_seconds": seconds, "counts": [int(n) for n in counts]}

    return turn


def numpy_histogram(values, edges):
    return np.histogram(values, edges)[0]


def pandas_cut(values, edges):
    return pd.cut(pd.Series(values), edges, include_lowest=True).value_counts(sort=False)


def polars_cut(values, edges):
    cut = pl.Series("x", values).cut(edges[1:-1].tolist())
    return cut.value_counts().sort("x")["count"].to_list()


def polars_hist(values, edges):
    return pl.Series("x", values).hist(bins=edges.tolist())["count"].to_list()


def numpy_sum(values, _edges):
    values.sum()
    return []


serve({
    "load": load,
    "histogram": timed(numpy_histogram),
    "cut": timed(pandas_cut),
    "polars-cut": timed(polars_cut),
    "polars-hist": timed(polars_hist),
    "sum": timed(numpy_sum),
})

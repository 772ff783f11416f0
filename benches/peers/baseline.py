"""Parquet by pyarrow: makes the files, reads them on one thread, and says what cells should be."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import turn

CELLS = 240
CHUNK = 1_000_000
FOLDER = Path(sys.argv[1])

# What a process that does nothing else pays: its first read finds no memory that it has used before.
FIRST = """
import json, sys, time
import pyarrow.parquet as pq
wall, cpu = time.perf_counter(), time.process_time()
table = pq.read_table(sys.argv[1], use_threads=False)
print(json.dumps({"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.perf_counter() - wall}))
"""


def numbers(random, rows):
    return random.normal(size=rows)


def mixed(random, rows, column):
    match column % 3:
        case 0:
            return numbers(random, rows)
        case 1:
            return random.poisson(7.0 if column % 2 else 40_000.0, size=rows)
        case _:
            names = np.array([f"category {i}" for i in range(50)])
            return pa.array(names[np.minimum(random.geometric(0.15, size=rows) - 1, 49)])


def make(name, rows, columns, kind, seed, shift):
    """A file of so many rows, a million at a time; its first column is shifted by so many deviations."""
    random = np.random.default_rng(int(seed))
    writer = None
    for start in range(0, int(rows), CHUNK):
        n = min(CHUNK, int(rows) - start)
        of = {"numbers": lambda i: numbers(random, n), "mixed": lambda i: mixed(random, n, i)}[kind]
        table = pa.table({f"f{i}": of(i) + float(shift) if i == 0 else of(i) for i in range(int(columns))})
        writer = writer or pq.ParquetWriter(FOLDER / name, table.schema, compression="zstd")
        writer.write_table(table, row_group_size=CHUNK)
    writer.close()
    return (FOLDER / name).stat().st_size


def read(name):
    """Again in this process. Even without threads it is another thread that decodes: the CPU time is of all."""
    wall, cpu = time.perf_counter(), time.process_time()
    table = pq.read_table(FOLDER / name, use_threads=False)
    taken = {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.perf_counter() - wall}
    del table
    return taken


def first(name):
    """In a process of its own; starting it and its imports do not count."""
    command = [sys.executable, "-c", FIRST, str(FOLDER / name)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def cells(name, column):
    """The quantile edges of a column without ties, and how many values are between them."""
    values = np.sort(pq.read_table(FOLDER / name, columns=[column])[column].to_numpy())
    ranks = -(-np.arange(1, CELLS) * len(values) // CELLS)
    edges = values[ranks - 1]
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=CELLS)
    return {"edges": edges.tolist(), "counts": counts.tolist()}


turn.serve({"make": make, "read": read, "first": first, "cells": cells})

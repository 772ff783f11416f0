#!/usr/bin/env python3
"""Runs what is not there yet, then prints the tables. See README.md beside this file."""

import argparse
import hashlib
import multiprocessing
import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np

import faults
import online
import online_cvm
import real
import scenarios
import streams
import synthetic
import tables
from daemon import Daemon

HERE = Path(__file__).resolve().parent
PARTS = ["nulls", "drifts", "faults", "peers", "real"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default=HERE.parents[1] / "target/release/driftd", type=Path)
    parser.add_argument("--data", default=os.environ.get("DRIFTD_DETECTION_DATA"), type=Path,
                        help="folder with bike_hour.csv, nyc_taxi.csv, elec2.csv [DRIFTD_DETECTION_DATA]")
    parser.add_argument("--kept", default=HERE.parents[1] / "target/detection", type=Path,
                        help="folder of results: what is there is not computed again")
    parser.add_argument("--quick", action="store_true", help="two seeds: a look, no evidence")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only", choices=PARTS, action="append", help="only this part; may be repeated")
    parser.add_argument("--tables", action="store_true", help="run nothing, print what is there")
    parser.add_argument("--results", type=Path, help="write the tables there, too")
    return parser.parse_args()


class Plan:
    """How much is run."""

    def __init__(self, quick):
        self.quick = quick
        self.drift_seeds = range(1, 3) if quick else range(1, 21)
        # Beyond the seeds of the drifts, so that no stream is used twice.
        self.null_days = 1 if quick else 5
        self.null_seeds = range(101, 103) if quick else range(101, 119)
        self.long_days = 3 if quick else 30
        self.long_seeds = range(201, 202) if quick else range(201, 207)
        self.fault_seeds = range(301, 302) if quick else range(301, 306)
        self.cvm_seeds = range(1, 2) if quick else range(1, 3)
        self.permutations = range(1, 2) if quick else range(1, 6)


def source_digest():
    """What peers make of a stream depends on these files only."""
    names = ["streams.py", "scenarios.py", "peers.py", "online.py"]
    return hashlib.sha256(b"".join((HERE / name).read_bytes() for name in names)).hexdigest()[:12]


def tasks(plan, parts, data):
    """(part, function, arguments), the first seed of everything first."""
    out = []

    def add(round_, part, function, *args):
        if part in parts:
            out.append((round_, (part, function, args)))

    for at, seed in enumerate(plan.null_seeds):
        for name in streams.NULLS:
            add(at, "nulls", synthetic.null, name, seed, plan.null_days, "1m")
            # A window of a day is full after one.
            add(at, "peers", synthetic.null_peers, name, seed, max(plan.null_days, 2))
            add(at, "peers", online.null, name, seed, max(plan.null_days, 2))
    for at, seed in enumerate(plan.drift_seeds):
        for name in dict.fromkeys(drift.null for drift in scenarios.DRIFTS):
            add(at, "drifts", synthetic.drifts, name, seed, "1m")
            add(at, "drifts", synthetic.drifts, name, seed, "5m")
            add(at, "peers", synthetic.drift_peers, name, seed)
            add(at, "peers", online.drifts, name, seed)
    for at, seed in enumerate(plan.long_seeds):
        for name in streams.NULLS:
            add(at, "nulls", synthetic.null, name, seed, plan.long_days, "5m")
    for at, seed in enumerate(plan.cvm_seeds):
        add(at, "peers", online_cvm.run, seed)
    for at, seed in enumerate(plan.fault_seeds):
        add(at, "faults", faults.run, seed)
    if data:
        for name in real.STREAMS:
            for at, permutation in enumerate([None, *plan.permutations]):
                add(at, "real", real.run, data, name, permutation)
    return [task for _, task in sorted(out, key=lambda pair: pair[0])]


def work(job):
    kept, binary, (part, function, args) = job
    # A p-value below what a float holds has an infinite score, and their difference is none.
    np.seterr(invalid="ignore")
    scratch = kept.folder / f"scratch/{os.getpid()}"
    started = time.monotonic()
    function(kept, binary, scratch, *args)
    shutil.rmtree(scratch, ignore_errors=True)
    return part, function.__name__, args, time.monotonic() - started


def run(jobs, n):
    with multiprocessing.Pool(n, maxtasksperchild=8) as pool:
        for at, (part, function, given, seconds) in enumerate(pool.imap_unordered(work, jobs), 1):
            if seconds > 0.5:
                print(f"{at}/{len(jobs)} {part} {function} {given}: {seconds:.0f} s", file=sys.stderr, flush=True)


def main():
    args = arguments()
    plan = Plan(args.quick)
    parts = args.only or PARTS
    if not args.binary.exists():
        sys.exit(f"{args.binary} is not there: cargo build --release, or --binary FILE")
    if "real" in parts and not args.data:
        print("SKIPPED: the real streams; name their folder by --data or DRIFTD_DETECTION_DATA", file=sys.stderr)
    ours = synthetic.Kept(args.kept / Daemon(args.binary, args.kept).digest())
    theirs = synthetic.Kept(args.kept / f"peers-{source_digest()}")
    todo = tasks(plan, parts, args.data)
    own = lambda part: theirs if part == "peers" else ours
    jobs = [(own(task[0]), args.binary, task) for task in todo]
    if not args.tables:
        run(jobs, args.jobs)
    text = tables.text(plan, ours, theirs, args.data, args.binary)
    print(text)
    if args.results:
        args.results.write_text(text + "\n")


if __name__ == "__main__":
    main()

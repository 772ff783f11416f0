#!/usr/bin/env python3
"""One Markdown table from the lines that the benches wrote (DRIFTD_BENCH_TABLE)."""

import json
import platform
import sys
import time


def processor():
    with open("/proc/cpuinfo") as lines:
        return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


rows = [json.loads(line) for line in open(sys.argv[1])]
print(f"{time.strftime('%Y-%m-%d')}, {processor()}, {__import__('os').cpu_count()} cores\n")
print("| stage | what | against | times better | to reach |")
print("|---|---|---|---:|---:|")
for row in rows:
    reach = "" if row["reach"] is None else f"{row['reach']:g}"
    print(f"| {row['stage']} | {row['what']} | {row['peer']} | {row['better']:.2f} | {reach} |")

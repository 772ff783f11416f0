"""Runs every function `check_*` of the modules beside it, and says at the end what failed."""

import concurrent.futures
import importlib
import pathlib
import sys
import time
import traceback

from common import Fault

# `live` waits for servers most of its time, so the others run beside it.
MODULES = ["live", "start", "rules", "alertmanager", "dashboards", "chart", "kustomize", "examples", "files"]


def checks(wanted):
    for module in MODULES:
        if not (pathlib.Path(__file__).parent / f"{module}.py").exists():
            raise SystemExit(f"no module {module}")
        for name, check in vars(importlib.import_module(module)).items():
            if name.startswith("check_") and (not wanted or name.removeprefix("check_").startswith(wanted)):
                yield name.removeprefix("check_").replace("_", " "), check


def timed(name, check):
    start = time.monotonic()
    try:
        check()
        fault = None
    except Fault as wrong:
        fault = str(wrong)
    except Exception:
        fault = traceback.format_exc()
    print(f"{'FAILED' if fault else 'ok':>6}  {time.monotonic() - start:5.1f} s  {name}", flush=True)
    return name, fault


def main():
    chosen = list(checks(tuple(sys.argv[1:])))
    if not chosen:
        raise SystemExit(f"no check begins with {sys.argv[1:]}")
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda one: timed(*one), chosen))
    failed = [(name, fault) for name, fault in done if fault]
    for name, fault in failed:
        print(f"\n{name}:\n{fault}", file=sys.stderr)
    print(f"{len(done) - len(failed)} of {len(done)} checks passed")
    sys.exit(bool(failed))


main()

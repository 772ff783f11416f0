"""Evidently's data-drift preset on two Parquet files."""

import sys
import time
import warnings
from pathlib import Path

import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset

import turn

warnings.filterwarnings("ignore")
FOLDER = Path(sys.argv[1])


def preset(reference, live):
    """By PSI, for every column; reading the files counts, as it does for driftd. CPU of all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    reference, live = pd.read_parquet(FOLDER / reference), pd.read_parquet(FOLDER / live)
    result = Report([DataDriftPreset(num_method="psi", cat_method="psi")]).run(live, reference).dict()
    taken = {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.perf_counter() - wall}
    share = next(m for m in result["metrics"] if "DriftedColumnsCount" in str(m.get("metric_name", m.get("id"))))
    return {**taken, "drifted": share["value"]["count"]}


turn.serve({"preset": preset})

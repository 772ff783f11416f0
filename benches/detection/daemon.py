"""The program itself: `driftd replay` over a stream in Parquet, and what it said when."""

import hashlib
import json
import subprocess
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq

import streams

MINUTE_MS = 60_000


class Daemon:
    """A binary of driftd, run on files in `folder`, which are overwritten from stream to stream."""

    def __init__(self, binary, folder):
        self.binary = str(binary)
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.profile = self.folder / "baseline.json"
        self.live = self.folder / "live.parquet"

    def digest(self):
        return hashlib.sha256(Path(self.binary).read_bytes()).hexdigest()[:12]

    def learn(self, table):
        """Builds the profile that the following replays are judged against."""
        file = self.folder / "baseline.parquet"
        pq.write_table(table, file)
        self._run("baseline", "build", str(file), "-o", str(self.profile))
        file.unlink()

    def watch(self, table, pane, more=(), **policy):
        """Replays a table; what came of it, as `driftd replay --format json` has it."""
        pq.write_table(table, self.live)
        return self.replay(self.live, pane, more, **policy)

    def replay(self, file, pane, more, **policy):
        # No cap: a false retrain must not hide behind the limit of retrains.
        policy = {"reference_dataset": str(self.profile), "max_retrains": "1000 per 7d"} | policy
        model = {"name": "m", "topic": "m", "pane": pane, "drift_config": policy}
        config = self.folder / "driftd.yaml"
        config.write_text(json.dumps({"kafka": {"brokers": ["unused:9092"]}, "models": [model]}))
        out = self._run("replay", str(file), "-c", str(config), "--format", "json", *more)
        return json.loads(out)

    def _run(self, *arguments):
        done = subprocess.run([self.binary, *arguments], capture_output=True, text=True)
        if done.returncode not in (0, 3):
            raise RuntimeError(f"driftd {' '.join(arguments)}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout


def story(replayed, start_ms=None):
    """The changes of state, with times in minutes since the stream began."""
    start_ms = millis(replayed["start"]) if start_ms is None else start_ms
    keys = ("kind", "drift", "feature", "statistic", "suppressed_by")
    events = []
    for event in replayed["events"]:
        kept = {key: event[key] for key in keys if key in event}
        kept["minute"] = (millis(event["time"]) - start_ms) / MINUTE_MS
        if "onset" in event:
            kept["onset"] = (millis(event["onset"]) - start_ms) / MINUTE_MS
        if "faults" in event:
            kept["faults"] = [{k: f[k] for k in ("kind", "feature") if k in f} for f in event["faults"]]
        if event["kind"] in ("fault", "trigger", "drifted"):
            kept["explanation"] = event["explanation"]
        events.append(kept)
    return {
        "minutes": replayed["panes"] * replayed["settings"]["pane_ms"] / MINUTE_MS,
        "triggers": replayed["totals"]["triggers"],
        "notices": replayed["totals"]["notices"],
        "suppressed": replayed["suppressed"],
        "events": events,
    }


def millis(text):
    return round(datetime.fromisoformat(text).timestamp() * 1000)


LIVE_MS = streams.EPOCH_MS + streams.BASELINE_DAYS * 86_400_000

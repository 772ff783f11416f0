"""Runs the synthetic streams through the program and the peers; every result is kept as a file."""

import json
import os
import time

import daemon
import peers
import scenarios
import streams
from daemon import Daemon

AT = scenarios.CHANGE_MINUTE * streams.PER_MINUTE
LIVE = streams.BASELINE_DAYS * streams.PER_DAY
DAYS = (scenarios.CHANGE_MINUTE + scenarios.HORIZON_MINUTES + 2) / 1440


class Kept:
    """Results by name in a folder: what is there is not computed again."""

    def __init__(self, folder):
        self.folder = folder

    def get(self, *name):
        file = self.folder.joinpath(*map(str, name)).with_suffix(".json")
        return json.loads(file.read_text()) if file.exists() else None

    def put(self, value, *name):
        file = self.folder.joinpath(*map(str, name)).with_suffix(".json")
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(value))
        draft.rename(file)
        return value

    def keep(self, compute, *name):
        found = self.get(*name)
        return self.put(compute(), *name) if found is None else found


class Lazy:
    """A stream and what is built from it, made when the first result needs it."""

    def __init__(self, binary, scratch, null, seed, days):
        self.daemon = Daemon(binary, scratch)
        self.null, self.seed, self.days = null, seed, days
        self.made = None
        self.learnt = False
        self.watch = None

    def columns(self):
        if self.made is None:
            self.made = streams.stream(streams.NULLS[self.null], self.seed, self.days)
        return self.made

    def live(self, name, change, at=AT):
        values = dict(self.columns()[1])
        if change is not None:
            change(values, at, streams.generator("change", name, self.seed))
        return values

    def learn(self):
        if not self.learnt:
            self.daemon.learn(streams.table(self.columns()[0], 0))
            self.learnt = True

    def replay(self, values, minutes, pane, more=(), **policy):
        """The first `minutes` of a stream through the program. The last pane of a file is never decided,
        so the record after it goes in, too."""
        self.learn()
        n = minutes * streams.PER_MINUTE + 1
        table = streams.table({name: array[:n] for name, array in values.items()}, LIVE)
        return daemon.story(self.daemon.watch(table, pane, list(more), **policy), daemon.LIVE_MS)

    def peers(self):
        if self.watch is None:
            self.watch = peers.Watch(*self.columns())
        return self.watch


def null(kept, binary, scratch, name, seed, days, pane):
    """A stream without drift through the program; an incident is closed after 6 h, and the next may come."""

    def compute():
        started = time.process_time()
        lazy = Lazy(binary, scratch, name, seed, days + 1 / 1440)
        values = lazy.live("none", None)
        told = lazy.replay(values, days * 1440, pane, ["--close-after", "6h"])
        return told | {"own_cpu": time.process_time() - started}

    return kept.keep(compute, "null", f"{name}-{pane}-{days}d", seed)


def null_peers(kept, _binary, _scratch, name, seed, days):
    def compute():
        watch = peers.Watch(*streams.stream(streams.NULLS[name], seed, days))
        scores = watch.scores({}, days * 1440)
        return {rule.name: peers.of_null(scores[rule.name], rule.line) for rule in peers.RULES}

    return kept.keep(compute, "null-peers", name, seed)


def complete(told, at=scenarios.CHANGE_MINUTE):
    """Nothing more is to be learnt: the retraining was triggered after the change."""
    return any(event["kind"] == "trigger" and event["minute"] > at for event in told["events"])


def drifts(kept, binary, scratch, null_name, seed, pane, only=None):
    """All drifts on one stream through the program."""
    lazy = Lazy(binary, scratch, null_name, seed, DAYS)
    for drift in scenarios.DRIFTS:
        if drift.null != null_name or (only and drift.name not in only):
            continue

        def compute():
            values = lazy.live(drift.name, drift.change)
            soon = scenarios.CHANGE_MINUTE + scenarios.SOON_MINUTES
            told = lazy.replay(values, soon, pane)
            if not complete(told):
                told = lazy.replay(values, scenarios.CHANGE_MINUTE + scenarios.HORIZON_MINUTES, pane)
            return told

        kept.keep(compute, "drift", f"{drift.name}-{pane}", seed)


def drift_peers(kept, _binary, scratch, null_name, seed):
    """All drifts on one stream through the peers."""
    lazy = Lazy(None, scratch, null_name, seed, DAYS)
    minutes = scenarios.CHANGE_MINUTE + scenarios.HORIZON_MINUTES
    for drift in scenarios.DRIFTS:
        if drift.null != null_name:
            continue

        def compute():
            values = lazy.live(drift.name, drift.change)
            scores = lazy.peers().scores({drift.feature: values[drift.feature]}, minutes)
            return {
                rule.name: peers.of_drift(scores[rule.name], scenarios.CHANGE_MINUTE) for rule in peers.RULES
            }

        kept.keep(compute, "drift-peers", drift.name, seed)

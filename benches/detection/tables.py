"""The tables, from the results that are kept, as Markdown."""

import platform
import statistics
import subprocess
import time
from pathlib import Path

import numpy as np
from scipy import stats

import faults
import online
import online_cvm
import peers
import real
import scenarios
import streams

AT = scenarios.CHANGE_MINUTE
RANK = {"notice": 1, "warning": 2, "drifted": 3}
LIMIT = 1.1


def processor():
    with open("/proc/cpuinfo") as lines:
        return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def commit():
    done = subprocess.run(["git", "-C", Path(__file__).parent, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def command(plan, data):
    return " ".join(["benches/detection/run.sh", *(["--quick"] if plan.quick else []), *(["--data FOLDER"] if data else [])])


def grid(head, rows, left=1):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * left + "---:|" * (len(head) - left)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def number(value):
    if value is None or value != value:
        return "-"
    if np.isinf(value):
        return "never"
    return f"{value:.0f}" if abs(value) >= 10 or value == int(value) else f"{value:.2f}"


def median(values):
    """With `None` for never; half of them never is never."""
    return float(statistics.median([np.inf if v is None else v for v in values])) if values else np.nan


def cell(delays, before=0):
    """Median, share missed, share that was in alarm already."""
    if not delays:
        return "-"
    missed = sum(d is None for d in delays) / len(delays)
    text = number(median(delays))
    text += f" [{missed:.2f}]" if missed else ""
    return text + (f" F{before / len(delays):.2f}" if before else "")


def bound(count, days):
    """Most alarms in 30 days that so few in so many days leave possible, at 95 % (Poisson)."""
    return 30 * stats.chi2.ppf(0.95, 2 * (count + 1)) / 2 / days


# ---- the program itself ----


def reached(told, rank):
    """Minutes since the change until the state is that high; and whether it was before."""
    state, found = 0, None
    for event in told["events"]:
        now = RANK.get(event["drift"], 0)
        if event["minute"] <= AT:
            state = now
        elif found is None and now >= rank:
            found = event
    return (None if found is None else found["minute"] - AT), state >= rank, found


def trigger(told):
    return next((e for e in told["events"] if e["kind"] == "trigger" and e["minute"] > AT), None)


def collect(kept, drift, pane, seeds):
    out = {"real": [], "warning": [], "retrain": [], "onset": [], "named": [], "before": 0, "n": 0, "early": 0}
    for seed in seeds:
        told = kept.get("drift", f"{drift.name}-{pane}", seed)
        if told is None:
            continue
        out["n"] += 1
        minutes, before, found = reached(told, 1)
        out["real"].append(None if minutes is None else minutes * streams.PER_MINUTE)
        out["before"] += before
        warned = reached(told, 2)[0]
        out["warning"].append(None if warned is None else warned * streams.PER_MINUTE)
        retrain = trigger(told)
        out["retrain"].append(None if retrain is None else (retrain["minute"] - AT) * streams.PER_MINUTE)
        out["early"] += any(e["kind"] == "trigger" and e["minute"] <= AT for e in told["events"])
        if found is not None:
            out["named"].append(found.get("feature") == drift.feature)
        if retrain is not None and "onset" in retrain:
            out["onset"].append((retrain["onset"] - AT) * streams.PER_MINUTE)
    return out


def against(delays, reference):
    """Ours, the reference's, and the ratio, marked where it misses."""
    ours = cell(delays)
    if reference is None or not delays:
        return [ours, "" if reference is None else number(reference), ""]
    mid = median(delays)
    if np.isinf(reference):
        return [ours, "never", "" if np.isinf(mid) else "sooner"]
    ratio = mid / reference
    shown = "never" if np.isinf(ratio) else f"{ratio:.2f}"
    return [ours, number(reference), shown if ratio <= LIMIT else f"**{shown}**"]


def nulls(kept, plan):
    rows = []
    runs = [("1m", plan.null_seeds, plan.null_days), ("5m", plan.long_seeds, plan.long_days)]
    for pane, seeds, days in runs:
        for name, null in streams.NULLS.items():
            told = [kept.get("null", f"{name}-{pane}-{days}d", seed) for seed in seeds]
            told = [t for t in told if t is not None]
            if not told:
                continue
            total = sum(t["minutes"] for t in told) / 1440
            retrains, notices = sum(t["triggers"] for t in told), sum(t["notices"] for t in told)
            faulty = sum(any(e["kind"] == "fault" for e in t["events"]) for t in told)
            limit = bound(retrains, total)
            rows.append([null.label, pane, f"{len(told)} x {days} d", f"{total:.0f}", str(retrains),
                         f"{limit:.2f}" if limit <= 1.005 else f"**{limit:.2f}**", str(notices), str(faulty)])
    head = ["stream without drift", "pane", "seeds", "stream-days", "retrains", "at most per 30 d (95 %)", "notices", "streams with a fault"]
    return grid(head, rows, 2)


def drifts(kept, plan, pane, with_reference=True):
    rows = []
    for drift in scenarios.DRIFTS:
        got = collect(kept, drift, pane, plan.drift_seeds)
        if not got["n"]:
            continue
        row = [drift.label, streams.NULLS[drift.null].label, str(got["n"])]
        for level in ("real", "warning", "retrain"):
            row += against(got[level], getattr(drift, level)) if with_reference else [cell(got[level])]
        onset = sorted(got["onset"])
        spread = f"{onset[0]:.0f} / {statistics.median(onset):.0f} / {onset[-1]:.0f}" if onset else ""
        named = f"{sum(got['named'])}/{len(got['named'])}"
        rows.append(row + [spread, named, str(got["before"]), str(got["early"])])
    head = ["change", "stream", "seeds"]
    for level in ("real", "warning", "retrain"):
        head += [level, "reference", "ratio"] if with_reference else [level]
    return grid(head + ["onset - change: least / median / most", "right feature", "real before", "retrained before"], rows, 2)


# ---- peers ----


def highest(kept, plan):
    """By null and rule: the highest score of all streams without drift."""
    out = {}
    for name in streams.NULLS:
        for seed in plan.null_seeds:
            got = kept.get("null-peers", name, seed)
            for rule, result in (got or {}).items():
                key = (name, rule)
                out[key] = max(out.get(key, -np.inf), result["highest"])
    return out


def null_rate(kept, plan, folder, rule):
    row = []
    for name in streams.NULLS:
        got = [kept.get(folder, name, seed) for seed in plan.null_seeds]
        got = [g[rule] for g in got if g and rule in g]
        minutes = sum(g["minutes"] for g in got)
        row.append(f"{30 * 1440 * sum(g['alarms'] for g in got) / minutes:.1f}" if minutes else "-")
    return row


def peer_nulls(theirs, ours, plan):
    rows = []
    for rule in peers.RULES:
        rows.append([rule.label] + null_rate(theirs, plan, "null-peers", rule.name))
    for detector, make, _ in online.detectors(1):
        if detector in ("adwin_0.002", "page_hinkley_50", "kswin"):
            rows.append([f"river {RIVER[detector]} ¹"] + null_rate(theirs, plan, "null-online", detector))
    row = ["**driftd**"]
    for name in streams.NULLS:
        told = [ours.get("null", f"{name}-1m-{plan.null_days}d", seed) for seed in plan.null_seeds]
        told = [t for t in told if t]
        days = sum(t["minutes"] for t in told) / 1440
        row.append(f"**{30 * sum(t['triggers'] for t in told) / days:.1f}**" if days else "-")
    return grid(["rule, false alarms per 30 days"] + [n.label for n in streams.NULLS.values()], rows + [row])


RIVER = {"adwin_0.002": "ADWIN", "page_hinkley_50": "Page-Hinkley", "kswin": "KSWIN"}
SHOWN = [d for d in scenarios.DRIFTS if d.name not in ("spread_2", "zeros_80")]


def peer_delay(theirs, plan, drift, rule, line):
    delays, before = [], 0
    for seed in plan.drift_seeds:
        got = theirs.get("drift-peers", drift.name, seed)
        if got is None:
            continue
        minutes, was = peers.delay(got[rule], line)
        delays.append(None if minutes is None else minutes * streams.PER_MINUTE)
        before += was
    return delays, before


def online_delay(theirs, plan, drift, detector):
    got = [theirs.get("drift-online", drift.name, seed) for seed in plan.drift_seeds]
    got = [g[detector] for g in got if g and detector in g]
    return [g["delay"] for g in got], sum(g["before"] for g in got)


def peer_delays(theirs, ours, plan):
    """At their own lines, whatever that costs in false alarms."""
    rows = []
    for drift in SHOWN:
        row = [drift.label, streams.NULLS[drift.null].label]
        mine = collect(ours, drift, "1m", plan.drift_seeds)
        row += [cell(mine["real"]), cell(mine["retrain"])]
        row += [cell(*peer_delay(theirs, plan, drift, rule.name, rule.line)) for rule in peers.RULES]
        row += [cell(*online_delay(theirs, plan, drift, detector)) for detector in RIVER]
        rows.append(row)
    head = ["change", "stream", "driftd real", "driftd retrain"] + [rule.label for rule in peers.RULES] + [f"river {n} ¹" for n in RIVER.values()]
    return grid(head, rows, 2)


def strict(theirs, plan, names, settings, family):
    """The loosest setting of a river detector that was silent on these streams without drift."""
    for setting in settings:
        detector = f"{family}_{setting:g}"
        got = [theirs.get("null-online", name, seed) for name in names for seed in plan.null_seeds]
        got = [g[detector] for g in got if g]
        if got and not sum(g["alarms"] for g in got):
            return detector
    return None


def at_budget(theirs, ours, plan, own):
    """Every rule at the loosest line that gave no alarm in the streams without drift: of the same kind as
    the drifting one (`own`), or of all four kinds."""
    tops = highest(theirs, plan)
    rows, not_sooner = [], []
    for drift in SHOWN:
        names = [drift.null] if own else list(streams.NULLS)
        mine = collect(ours, drift, "1m", plan.drift_seeds)
        row = [drift.label, streams.NULLS[drift.null].label, cell(mine["real"]), cell(mine["retrain"])]
        mid, sooner = median(mine["real"]), []
        for rule in peers.RULES:
            line = max([tops.get((name, rule.name), np.inf) for name in names])
            delays, _ = peer_delay(theirs, plan, drift, rule.name, line)
            row.append(cell(delays))
            if delays and median(delays) < mid:
                sooner.append(rule.label)
        for family, settings in (("adwin", online.ADWIN), ("page_hinkley", online.PAGE_HINKLEY)):
            detector = strict(theirs, plan, names, settings, family)
            delays = online_delay(theirs, plan, drift, detector)[0] if detector else []
            row.append(cell(delays) if detector else "none holds it")
            if delays and median(delays) < mid:
                sooner.append("river " + ("ADWIN" if family == "adwin" else "Page-Hinkley"))
        rows.append(row)
        if sooner:
            not_sooner.append(f"- {drift.label}, {streams.NULLS[drift.null].label}: {'; '.join(sooner)}")
    head = ["change", "stream", "driftd real", "driftd retrain"] + [rule.label.replace(" > 0.2", "") for rule in peers.RULES]
    text = grid(head + ["river ADWIN ¹", "river Page-Hinkley ¹"], rows, 2)
    return text, "\n".join(not_sooner) or "- nowhere"


def cvm(theirs, plan):
    got = [g for g in (theirs.get("cvm", seed) for seed in plan.cvm_seeds) if g]
    if not got:
        return "Not measured in this run."
    seconds = statistics.median([g["configured_seconds"] for g in got])
    months = 30 * streams.PER_DAY / online_cvm.ERT
    rates = [f"{null.label} {streams.PER_DAY * np.mean([g['nulls'][name]['alarms'] / g['nulls'][name]['records'] for g in got]):.1f}"
             for name, null in streams.NULLS.items()]
    rows = []
    for drift in scenarios.DRIFTS:
        if drift.name in got[0]["drifts"]:
            rows.append([drift.label] + [cell([g["drifts"][drift.name][key] for g in got]) for key in ("at_ert", "honest")])
    return "\n\n".join([
        f"Configured for an expected run time of {online_cvm.ERT} records in {seconds:.0f} s of CPU ({len(got)} seeds); the run time that the budget asks is "
        f"{months:.0f} times that, with as many times the streams to simulate. Alarms a day without drift: {', '.join(rates)}. `honest` is the "
        "delay at the highest statistic of five independent days, a sixth of the budget's period; [missed in a day].",
        grid(["change, independent", f"at {online_cvm.ERT}", "honest"], rows)])


# ---- faults and real streams ----


def fault_rows(kept, plan):
    rows = []
    for fault in faults.ALL:
        told = [kept.get("fault", fault.name, seed) for seed in plan.fault_seeds]
        told = [t for t in told if t]
        if not told:
            continue
        named = [faults.named(t, fault) for t in told]
        cleared = [faults.cleared(t, fault) for t in told]
        others = {f"{kind} of {feature}" for t in told for kind, feature in faults.others(t, fault)}
        rows.append([fault.label, fault.feature, fault.kind, f"{sum(n is not None for n in named)}/{len(told)}",
                     number(median(named)), number(median(cleared)), str(sum(t["triggers"] for t in told)), ", ".join(sorted(others))])
    head = ["fault for 6 h", "feature", "to be named", "named", "minutes until named", "minutes from its end until ok", "retrains", "named besides"]
    return grid(head, rows, 3)


def drift_in_fault(kept, plan):
    rows = []
    for feature, label in (("normal_too", "another feature"), ("normal", "the same feature")):
        told = [t for t in (kept.get("fault-drift", feature, seed) for seed in plan.fault_seeds) if t]
        if not told:
            continue
        begin = faults.BEGIN + faults.DRIFT_AFTER
        end = faults.BEGIN + 360
        at = [faults.triggered(t) for t in told]
        since = [None if a is None else a - begin for a in at]
        after = [None if a is None else a - end for a in at]
        rows.append([label, str(len(told)), number(median(since)), number(median(after)), str(sum(a is None for a in at))])
    head = ["+1 sd two hours into six of 30 % nulls, in", "seeds", "minutes from the drift to the retraining", "minutes from the end of the fault", "missed in a day"]
    return grid(head, rows)


def real_rows(kept, plan):
    null_rows, raw_rows, drift_rows = [], [], []
    for name, stream in real.STREAMS.items():
        got = [kept.get("real", name, permutation) for permutation in plan.permutations]
        got = [g for g in got if g]
        raw = kept.get("real", name, "as-it-is")
        per_30 = lambda results, count: 30 * sum(map(count, results)) / sum(r["days"] for r in results)
        if got:
            days = sum(g["days"] for g in got)
            retrains = sum(g["rules"]["sequential"]["triggers"] for g in got)
            null_rows.append([stream.label, stream.pane, str(len(got)), str(days), str(retrains),
                              f"{per_30(got, lambda g: g['rules']['sequential']['triggers']):.2f}",
                              f"{bound(retrains, days):.2f}",
                              f"{per_30(got, lambda g: g['rules']['window']['triggers']):.2f}",
                              f"{per_30(got, lambda g: g['psi_alone']['alarms']):.2f}"])
            row = [stream.label]
            for how in real.INJECTED:
                row += [cell_days([after(g["injected"][how], how) for g in got])]
            drift_rows.append(row)
        if raw:
            raw_rows.append([stream.label, str(raw["days"]), str(raw["rules"]["sequential"]["triggers"]),
                             str(raw["rules"]["window"]["triggers"]), str(raw["psi_alone"]["alarms"]), f"{raw['psi_alone']['share']:.2f}"])
    null = grid(["days permuted", "pane", "permutations", "days watched", "retrains", "per 30 d", "at most (95 %)", "rule window, per 30 d", "PSI > 0.2 on a day, per 30 d"], null_rows, 2)
    drift = grid(["injected into the first feature"] + list(real.INJECTED), drift_rows)
    raw = grid(["as it is (closed after a day, the baseline stays)", "days watched", "retrains", "rule window", "PSI > 0.2 on a day", "share of time over it"], raw_rows)
    return null, drift, raw


def after(told, how):
    """Days from the injection to the retraining; of a change of unit to its being named."""
    for event in told["events"]:
        hit = event["kind"] == "trigger" or (how == "x 100" and event.get("faults"))
        if hit and event["minute"] > told["at"]:
            return (event["minute"] - told["at"]) / 1440
    return None


def cell_days(delays):
    missed = sum(d is None for d in delays) / len(delays)
    return number(median(delays)) + (f" [{missed:.2f}]" if missed else "")


def unfinished(plan, ours, theirs, data):
    """How much of the plan is not there yet, for people; empty when all is."""
    wanted = [(ours, ("null", f"{name}-1m-{plan.null_days}d"), plan.null_seeds) for name in streams.NULLS]
    wanted += [(ours, ("null", f"{name}-5m-{plan.long_days}d"), plan.long_seeds) for name in streams.NULLS]
    wanted += [(ours, ("drift", f"{d.name}-{pane}"), plan.drift_seeds) for d in scenarios.DRIFTS for pane in ("1m", "5m")]
    wanted += [(ours, ("fault", fault.name), plan.fault_seeds) for fault in faults.ALL]
    wanted += [(theirs, (kind, name), plan.null_seeds) for kind in ("null-peers", "null-online") for name in streams.NULLS]
    wanted += [(theirs, ("drift-peers", drift.name), plan.drift_seeds) for drift in scenarios.DRIFTS]
    if data:
        wanted += [(ours, ("real", name), plan.permutations) for name in real.STREAMS]
    there = sum(kept.get(*name, seed) is not None for kept, name, seeds in wanted for seed in seeds)
    of = sum(len(seeds) for _, _, seeds in wanted)
    if there == of:
        return ""
    return f"**This run is not finished: {there} of {of} results are there.** Each row says how many seeds it has; the same command goes on with the others."


def text(plan, ours, theirs, data, binary):
    seeds = lambda r: f"{r[0]} to {r[-1]}"
    own, own_list = at_budget(theirs, ours, plan, own=True)
    every, every_list = at_budget(theirs, ours, plan, own=False)
    parts = [
        "# Detection: what is quiet, and how soon",
        f"{time.strftime('%Y-%m-%d')}, {processor()}, commit {commit()}, `{command(plan, data)}`. "
        f"Seeds: without drift {seeds(plan.null_seeds)} (1-min panes) and {seeds(plan.long_seeds)} (5-min), drifts {seeds(plan.drift_seeds)}, "
        f"faults {seeds(plan.fault_seeds)}, permutations of days {seeds(plan.permutations)}. Everything below is printed by that command.",
        unfinished(plan, ours, theirs, data),
        (Path(__file__).parent / "reading.md").read_text().strip(),
        "## Without drift", nulls(ours, plan),
        "## Delay, panes of 1 minute", drifts(ours, plan, "1m"),
        "## Delay, panes of 5 minutes (the default)", drifts(ours, plan, "5m", with_reference=False),
        "## Peers: false alarms at their own lines", peer_nulls(theirs, ours, plan),
        "## Peers: delay at their own lines", peer_delays(theirs, ours, plan),
        "## Peers at the same budget, tuned to the stream's own kind", own, "Sooner than driftd's `real`:", own_list,
        "## Peers at the same budget, one line for all four kinds of stream", every, "Sooner than driftd's `real`:", every_list,
        "## Alibi Detect's online Cramer-von Mises test ¹", cvm(theirs, plan),
        "## Faults", fault_rows(ours, plan), drift_in_fault(ours, plan),
    ]
    if data:
        null, drift, raw = real_rows(ours, plan)
        parts += ["## Real streams", null, "Days until the retraining (of x 100: until it is named a fault), median over permutations, [missed in 20 days]:", drift, raw]
    else:
        parts += ["## Real streams", "Skipped: no folder was named."]
    return "\n\n".join(part for part in parts if part)

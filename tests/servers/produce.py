#!/usr/bin/env python3
"""Inference records for the tests of the whole path, and an independent count of them.

Nothing here shares code with driftd: records come from librdkafka through confluent-kafka, the
training file from pyarrow, and the counts from numpy, so that an error has to be made twice.
Run it with the interpreter of `python.sh` (confluent-kafka, numpy, pyarrow, xxhash).

    produce.py reference OUT.parquet [--rows 20000] [--seed 1] [--prediction] [--no-time]
        The training data: amount (double, some nulls), age (int64), balance (float, half of it
        zero), velocity (double), country (string), merchant (dictionary of 400), plan (string of
        digits), member (boolean); with --prediction also prediction (double); and event_time
        (time stamp, ms) unless --no-time.

    produce.py produce --brokers HOST:PORT --topic T --records N [--seed 7] [--partitions 3]
        [--start-ms 1760000000000] [--span-minutes 360] [--prediction] [--clean] [--no-close]
        [--drift FEATURE --drift-after-minutes M --drift-by X] [--dump FILE]
        Writes N records like {"id": .., "ts": MS, "features": {..}, "prediction": ..}; the same
        arguments give the same bytes. Event time runs from start over the span, up to 4 minutes out
        of order; the Kafka time stamp is that of the undelayed record. Unless --clean, there are
        in it: nulls, missing keys, wrong types, values out of range, 1e999, categories never seen,
        keys in any order and twice, extra keys, records that are late, and one record in 200 that
        must be rejected, each kind of fault in turn. Unless --no-close, one more record in each
        partition, 25 minutes after the last, closes every pane before it (lateness 15 minutes).
        FEATURE (a numeric one) is multiplied by 1 + X from M minutes after the start on.
        Prints one JSON object: records (with the closing ones), first_ms, last_ms.
        --dump also writes the records as lines of JSON; --brokers may then be left out.

    produce.py count --profile PROFILE (--brokers HOST:PORT --topic T | --from DUMP)
        [--pane-ms 300000] [--lateness-ms 900000] [--out FILE] [--compare PANES]
        Counts what is in the topic now, by the cells of PROFILE: a profile of `driftd baseline
        build`, or a JSON list of what `driftd baseline show --feature F --format json` prints.
        --out gets the expected body of /api/v1/models/{model}/panes, byte for byte (sorted keys, no
        blanks, a new line at the end); with a list, which has no scale, without the sums.
        Where things are is as `fields: {features: /features, event_time: {pointer: /ts, unit: ms}}`
        says (without `features` there, a record that has none would be a flat one).
        --compare reads such a body, as served, and exits 1 with the first differences unless it
        says the same wherever --out says something.
        Prints one JSON object: records, counted, late, rejects by reason, panes, duplicate_keys.
"""

import argparse
import base64
import json
import math
import sys

import numpy as np

NUMERIC = ["amount", "age", "balance", "velocity"]
CATEGORICAL = ["country", "merchant", "plan", "member"]
COUNTRIES = ["DE", "FR", "US", "GB", "NL", "PL", "ES", "IT", "SE", "AT", "CH", "DK"]
MERCHANTS = [f"merchant-{i:03}" for i in range(400)]
PLANS = ["1", "2", "3", "10"]
MINUTE_MS = 60_000
YEAR_2000_MS = 946_684_800_000
MAX_FUTURE_MS = 5 * MINUTE_MS
MAX_JUMP_MS = 7 * 24 * 60 * MINUTE_MS
LATENESS_MS = 15 * MINUTE_MS
MAX_DEPTH = 64


def draw(rng, n):
    """Columns of n rows as the training data and healthy traffic have them."""

    def ranked(names, power):
        weights = 1.0 / np.arange(1, len(names) + 1) ** power
        return np.array(names)[rng.choice(len(names), n, p=weights / weights.sum())]

    balance = rng.gamma(2.0, 500.0, n).astype(np.float32)
    balance[rng.random(n) < 0.5] = 0.0
    columns = {
        "amount": np.round(rng.lognormal(3.5, 1.0, n), 2),
        "age": rng.integers(18, 91, n),
        "balance": balance,
        "velocity": rng.normal(0.0, 1.0, n),
        "country": ranked(COUNTRIES, 1.0),
        "merchant": ranked(MERCHANTS, 0.7),
        "plan": ranked(PLANS, 0.8),
        "member": rng.random(n) < 0.3,
    }
    columns["prediction"] = 1.0 / (1.0 + np.exp(-columns["velocity"] + rng.normal(1.0, 0.5, n)))
    return columns


# --- reference


def reference(args):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(args.seed)
    columns = draw(rng, args.rows)
    table = {
        "amount": pa.array(columns["amount"], mask=rng.random(args.rows) < 0.02),
        "age": pa.array(columns["age"]),
        "balance": pa.array(columns["balance"]),
        "velocity": pa.array(columns["velocity"]),
        "country": pa.array(columns["country"].tolist()),
        "merchant": pa.array(columns["merchant"].tolist()).dictionary_encode(),
        "plan": pa.array(columns["plan"].tolist()),
        "member": pa.array(columns["member"]),
    }
    if args.prediction:
        table["prediction"] = pa.array(columns["prediction"])
    if not args.no_time:
        times = 1_750_000_000_000 + np.arange(args.rows) * 60_000
        table["event_time"] = pa.array(times, type=pa.timestamp("ms"))
    pq.write_table(pa.table(table), args.out, compression="zstd", row_group_size=7_000)


# --- produce

# Each makes the payload of a record that must be rejected, from one that would not be.
FAULTS = [
    lambda record, text: None,  # null_value
    lambda record, text: b"",  # empty
    lambda record, text: text[: len(text) // 2],  # malformed
    lambda record, text: b"\xef\xbb\xbf" + text,  # malformed: byte order mark
    lambda record, text: text + b" {}",  # malformed: trailing bytes
    lambda record, text: text.replace(b'"amount"', b'"am\xffunt"', 1),  # malformed: not UTF-8
    lambda record, text: text[:-1] + b',"x":NaN}',  # malformed: no such number
    lambda record, text: b"[" + text + b"]",  # no_features: not an object
    lambda record, text: dump({"ts": record["ts"], "id": record["id"]}),  # no_features
    lambda record, text: dump(record | {"features": [1, 2]}),  # no_features
    lambda record, text: dump({k: v for k, v in record.items() if k != "ts"}),  # bad_time
    lambda record, text: dump(record | {"ts": record["ts"] // 1000}),  # bad_time: seconds
    lambda record, text: dump(record | {"ts": None}),  # bad_time
    lambda record, text: text[:-1] + b',"x":' + b"[" * 100 + b"]" * 100 + b"}",  # too_deep
    lambda record, text: dump(record | {"ts": record["ts"] + 12 * MINUTE_MS}),  # future
]
FAULT_EVERY = 200
LATE_EVERY = 997
JUMP_EVERY = 20_011


def dump(value):
    return json.dumps(value, separators=(",", ":")).encode()


def spoil(rng, features, i):
    """What live traffic does to single values."""
    numeric, category = NUMERIC[i % 4], CATEGORICAL[i // 4 % 4]
    kind = rng.integers(0, 12)
    if kind == 0:
        features[numeric] = None
    elif kind == 1:
        del features[numeric]
    elif kind == 2:
        features[numeric] = "12"
    elif kind == 3:
        features[numeric] = {"value": 1}
    elif kind == 4:
        features[numeric] = 1e7 if i % 2 else -1e7
    elif kind == 5:
        features[numeric] = math.inf if i % 3 else -math.inf
    elif kind == 6:
        features[category] = None
    elif kind == 7:
        del features[category]
    elif kind == 8:
        features[category] = ["a"]
    elif kind == 9:
        features[category] = f"never seen {i % 7}"
    elif kind == 10:
        features["plan"] = int(features["plan"]) if i % 2 else float(features["plan"])
        features["member"] = int(features["member"])
    else:
        features["age"] = -0.0 if i % 2 else features["age"] + 0.5


def live_records(args):
    """(partition, key, payload, Kafka time stamp) of every record, in the order of sending."""
    rng = np.random.default_rng([args.seed, 1])
    n = args.records
    columns = draw(rng, n)
    span_ms = args.span_minutes * MINUTE_MS
    base = args.start_ms + (np.arange(n) * span_ms) // max(n, 1)
    event = base - rng.integers(0, 4 * MINUTE_MS, n)
    if args.drift:
        drifted = base >= args.start_ms + args.drift_after_minutes * MINUTE_MS
        column = columns[args.drift].astype(np.float64)
        columns[args.drift] = np.where(drifted, column * (1.0 + args.drift_by), column)
    partition = rng.integers(0, args.partitions, n)
    spoiled = rng.random(n) < 0.05
    orders = [rng.permutation(NUMERIC + CATEGORICAL).tolist() for _ in range(16)]
    values = {name: column.tolist() for name, column in columns.items()}
    base, event, partition = base.tolist(), event.tolist(), partition.tolist()
    for i in range(n):
        features = {name: values[name][i] for name in orders[i % 16]}
        record = {"id": i, "ts": event[i], "features": features}
        if args.prediction:
            record["prediction"] = values["prediction"][i]
        kafka_ms, payload = base[i], None
        if not args.clean:
            if spoiled[i]:
                spoil(rng, features, i)
            if i % LATE_EVERY == LATE_EVERY - 1:
                record["ts"] = base[i] - LATENESS_MS - 20 * MINUTE_MS
            # Only where the record would not be late as well, and long after the first ones.
            elif i % JUMP_EVERY == JUMP_EVERY - 1:
                record["ts"] = kafka_ms = base[i] + MAX_JUMP_MS + 60 * MINUTE_MS
            if i % 5 == 0:
                record = {"extra": {"nested": [i, "é\n"]}} | record
        payload = encode(record)
        if not args.clean:
            if i % 100 == 50 and isinstance(features.get("age"), int):
                payload = payload.replace(b'"features":{', b'"features":{"age":-5,', 1)
            if i % FAULT_EVERY == FAULT_EVERY - 1 and record["ts"] == event[i]:
                payload = FAULTS[i // FAULT_EVERY % len(FAULTS)](record, payload)
        yield partition[i], str(i).encode(), payload, kafka_ms
    if not args.no_close:
        for p in range(args.partitions):
            ts = args.start_ms + span_ms + 25 * MINUTE_MS
            features = {name: values[name][0] for name in NUMERIC + CATEGORICAL} if n else {}
            yield p, b"close", dump({"id": -1 - p, "ts": ts, "features": features}), ts


def encode(record):
    # Python writes Infinity, which is no JSON; 1e999 is, and every reader makes infinity of it.
    return dump(record).replace(b"Infinity", b"1e999")


def produce(args):
    producer = None
    if args.brokers:
        from confluent_kafka import Producer

        producer = Producer(
            {
                "bootstrap.servers": args.brokers,
                "enable.idempotence": True,
                "compression.type": "zstd",
                "linger.ms": 50,
                "queue.buffering.max.messages": 200_000,
            }
        )
    elif not args.dump:
        sys.exit("produce.py: --brokers or --dump, please")
    failed = []

    def delivered(error, message):
        if error is not None:
            failed.append(str(error))

    total = 0
    out = open(args.dump, "w") if args.dump else None
    for partition, key, payload, kafka_ms in live_records(args):
        total += 1
        if out:
            text = None if payload is None else base64.b64encode(payload).decode()
            line = {"partition": partition, "kafka_ms": kafka_ms, "payload": text}
            out.write(json.dumps(line) + "\n")
        while producer:
            try:
                producer.produce(
                    args.topic,
                    value=payload,
                    key=key,
                    partition=partition,
                    timestamp=kafka_ms,
                    on_delivery=delivered,
                )
                producer.poll(0)
                break
            except BufferError:
                producer.poll(0.1)
    if out:
        out.close()
    if producer and producer.flush(120) > 0:
        failed.append("records were left unsent after 120 s")
    if failed:
        sys.exit(f"produce.py: {len(failed)} failures, first: {failed[0]}")
    last = args.start_ms + args.span_minutes * MINUTE_MS
    print(json.dumps({"records": total, "first_ms": args.start_ms, "last_ms": last}))


# --- count


class Reject(Exception):
    """The reason why a record is not used."""


def from_dump(path):
    with open(path) as lines:
        for line in lines:
            line = json.loads(line)
            text = line["payload"]
            payload = None if text is None else base64.b64decode(text)
            yield line["partition"], payload, line["kafka_ms"]


def from_kafka(brokers, topic):
    """Everything that the topic holds now, each partition in the order of its log."""
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "produce.py",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
        }
    )
    partitions = consumer.list_topics(topic, 30).topics[topic].partitions
    starts = []
    for p in partitions:
        low, _ = consumer.get_watermark_offsets(TopicPartition(topic, p), 30)
        starts.append(TopicPartition(topic, p, low))
    consumer.assign(starts)
    ended, silent = set(), 0
    while len(ended) < len(partitions):
        # Waits until it has as many as were asked for, or until the time is over.
        messages = consumer.consume(10_000, 0.2)
        silent = 0 if messages else silent + 1
        if silent > 300:
            sys.exit(f"produce.py: no record of {topic} for a minute")
        for message in messages:
            if message.error() is None:
                yield message.partition(), message.value(), message.timestamp()[1]
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
            else:
                sys.exit(f"produce.py: {message.error()}")
    consumer.close()


def no_such_number(token):
    raise Reject("malformed")


class Reader:
    """One record's bytes to (event time, values by name), or a Reject."""

    def __init__(self):
        self.duplicate_keys = 0

    def read(self, payload):
        if payload is None:
            raise Reject("null_value")
        if payload == b"":
            raise Reject("empty")
        before = self.duplicate_keys
        try:
            text = payload.decode("utf-8")
            if text.startswith("\ufeff"):
                raise Reject("malformed")
            record = json.loads(
                text, parse_constant=no_such_number, object_pairs_hook=self.to_dict
            )
        except ValueError:
            raise Reject("malformed") from None
        self.duplicate_keys = min(self.duplicate_keys, before + 1)
        if depth(record) > MAX_DEPTH:
            raise Reject("too_deep")
        if not isinstance(record, dict) or not isinstance(record.get("features"), dict):
            raise Reject("no_features")
        ts = record.get("ts")
        if isinstance(ts, bool) or not isinstance(ts, (int, float)) or ts < YEAR_2000_MS:
            raise Reject("bad_time")
        values = dict(record["features"])
        if "prediction" in record:
            values["prediction"] = record["prediction"]
        return ts, values

    def to_dict(self, pairs):
        found = dict(pairs)
        self.duplicate_keys += len(found) < len(pairs)
        return found


def depth(value):
    deepest, stack = 0, [(value, 1)]
    while stack:
        value, level = stack.pop()
        if isinstance(value, (dict, list)):
            deepest = max(deepest, level)
            children = value.values() if isinstance(value, dict) else value
            stack.extend((child, level + 1) for child in children)
    return deepest


class Watermarks:
    """Which records of a partition's log count and where, by the rules of event time."""

    SUPPORT = 8

    def __init__(self, pane_ms, lateness_ms):
        self.pane_ms, self.lateness_ms = pane_ms, lateness_ms
        self.highest = {}
        self.support = {}
        self.jumps = {}

    def admit(self, partition, ts, kafka_ms):
        """The start of the record's pane, None if that is closed, or a Reject."""
        if ts > kafka_ms + MAX_FUTURE_MS:
            raise Reject("future")
        highest = self.highest.get(partition, ts)
        support = self.support.get(partition, 0)
        # Eight in a row that agree would be believed, and would unseat a time that fewer have
        # agreed to; this count knows lone liars only, and no liar among the first.
        assert support >= self.SUPPORT or abs(ts - highest) <= MAX_JUMP_MS, "unclear beginning"
        if ts > highest + MAX_JUMP_MS:
            self.jumps[partition] = self.jumps.get(partition, 0) + 1
            assert self.jumps[partition] < self.SUPPORT, "too many jumps in a row"
            raise Reject("time_jump")
        self.jumps[partition] = 0
        self.support[partition] = support + (ts >= highest - MAX_JUMP_MS)
        self.highest[partition] = max(highest, ts)
        start = self.start_of(ts)
        passed = self.passed(partition)
        return None if passed is not None and start + self.pane_ms <= passed else start

    def start_of(self, ts):
        return ts - ts % self.pane_ms

    def stands_in(self, partition):
        """The pane that the partition has come to; what has no time of its own counts there."""
        highest = self.highest.get(partition)
        return None if highest is None else self.start_of(highest)

    def passed(self, partition):
        """Panes that end here or before are closed in the partition."""
        if self.support.get(partition, 0) < self.SUPPORT:
            return None
        return self.highest[partition] - self.lateness_ms

    def all_passed(self, partitions):
        passed = [self.passed(partition) for partition in partitions]
        return None if not passed or None in passed else min(passed)


class Numeric:
    STEPS, LIMIT = 2.0**20, 2.0**46

    def __init__(self, cells, shown_range):
        self.edges = np.array(cells["edges"], dtype=np.float64)
        self.scale = cells.get("scale")
        self.storage = cells.get("storage", "f64")
        self.range = shown_range or [cells.get("lowest"), cells.get("highest")]

    def stored(self, values):
        if self.storage == "f64":
            return values
        with np.errstate(over="ignore"):
            if self.storage == "f32":
                return values.astype(np.float32).astype(np.float64)
            if self.storage == "f16":
                return values.astype(np.float16).astype(np.float64)
        sys.exit(f"produce.py: this counter does not know the storage {self.storage}")

    def count(self, values):
        out = blank()
        numbers = []
        for value in values:
            if value is MISSING:
                out["missing"] += 1
            elif value is None:
                out["null"] += 1
            elif isinstance(value, bool) or not isinstance(value, (int, float)):
                out["type_error"] += 1
            else:
                numbers.append(float(value))
        numbers = self.stored(np.array(numbers, dtype=np.float64))
        out["pos_inf"] = int(np.sum(numbers == np.inf))
        out["neg_inf"] = int(np.sum(numbers == -np.inf))
        numbers = numbers[np.isfinite(numbers)]
        # Right-closed: a value equal to an edge belongs to the cell that the edge ends.
        cell = np.searchsorted(self.edges, numbers, side="left")
        out["cells"] = np.bincount(cell, minlength=len(self.edges) + 1).tolist()
        if self.range[0] is not None:
            out["below"] = int(np.sum(numbers < self.range[0]))
            out["above"] = int(np.sum(numbers > self.range[1]))
        else:
            del out["below"], out["above"]
        self.add_sums(out, numbers, cell)
        return out

    def add_sums(self, out, numbers, cell):
        if self.scale is None:
            for name in ["sum", "sum_squares", "low_sum", "high_sum"]:
                del out[name]
            return
        steps = (numbers - self.scale["center"]) * (self.STEPS / abs(self.scale["unit"]))
        fixed = np.rint(np.clip(steps, -self.LIMIT, self.LIMIT)).astype(np.int64)
        out["sum"] = sum(fixed.tolist())
        out["sum_squares"] = sum(x * x for x in fixed.tolist())
        out["low_sum"] = sum(fixed[cell == 0].tolist())
        out["high_sum"] = sum(fixed[cell == len(self.edges)].tolist())


class Categorical:
    def __init__(self, cells):
        self.cells = {category: i for i, category in enumerate(cells["categories"])}
        self.rest = set(cells.get("rest", []))
        self.boolean = cells.get("boolean", set(cells["categories"]) == {"true", "false"})

    def count(self, values):
        import xxhash

        out = blank()
        out["cells"] = [0] * (len(self.cells) + 1)
        for value in values:
            if value is MISSING:
                out["missing"] += 1
            elif value is None:
                out["null"] += 1
            elif isinstance(value, (dict, list)):
                out["type_error"] += 1
            else:
                text = self.canonical(value)
                if text in self.cells:
                    out["cells"][self.cells[text]] += 1
                elif xxhash.xxh3_64_intdigest(text.encode()) in self.rest:
                    out["cells"][-1] += 1
                else:
                    out["unseen"] += 1
        return out

    def canonical(self, value):
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, float):
            assert value.is_integer(), "this counter knows whole numbers only as categories"
            value = int(value)
        text = str(value)
        if self.boolean:
            return {"1": "true", "0": "false"}.get(text, text)
        return text


MISSING = object()


def blank():
    names = "above below high_sum low_sum missing nan neg_inf null pos_inf sum sum_squares"
    return {name: 0 for name in (names + " type_error unseen").split()}


def load_profile(path):
    """Counters by name. A feature that cannot be used is still in the panes, in the cells it has."""
    with open(path) as file:
        profile = json.load(file)
    features = profile["features"] if isinstance(profile, dict) else profile
    counters = {}
    for feature in features:
        cells = feature.get("cells")
        if not isinstance(cells, dict):
            continue
        numeric = "edges" in cells
        counter = Numeric(cells, feature.get("range")) if numeric else Categorical(cells)
        counters[feature.get("name", feature.get("feature"))] = counter
    return counters


class Panes:
    """Rows and rejects by the pane that they belong to."""

    def __init__(self):
        self.rows = {}
        self.rejects = {}
        self.waiting = {}

    def reject(self, partition, start):
        """`start` is None as long as the partition has come to no pane yet."""
        if start is None:
            self.waiting[partition] = self.waiting.get(partition, 0) + 1
        else:
            self.rejects[start] = self.rejects.get(start, 0) + 1

    def add(self, partition, start, values):
        self.rows.setdefault(start, []).append(values)
        waited = self.waiting.pop(partition, 0)
        self.rejects[start] = self.rejects.get(start, 0) + waited

    def closed(self, counters, pane_ms, passed):
        """The body of /panes, of the panes that end at `passed` or before."""
        closed = []
        start = min(self.rows, default=0)
        while self.rows and passed is not None and start + pane_ms <= passed:
            rows = self.rows.get(start, [])
            features = {
                name: counter.count([row.get(name, MISSING) for row in rows])
                for name, counter in counters.items()
            }
            closed.append(
                {
                    "start": start,
                    "end": start + pane_ms,
                    "records": len(rows),
                    "rejects": self.rejects.get(start, 0),
                    "features": features,
                }
            )
            start += pane_ms
        return {"panes": closed}


def count(args):
    counters = load_profile(args.profile)
    records = from_dump(args.dump) if args.dump else from_kafka(args.brokers, args.topic)
    reader, rejects, panes = Reader(), {}, Panes()
    watermarks = Watermarks(args.pane_ms, args.lateness_ms)
    total = late = 0
    partitions = set()
    for partition, payload, kafka_ms in records:
        total += 1
        partitions.add(partition)
        try:
            ts, values = reader.read(payload)
            start = watermarks.admit(partition, ts, kafka_ms)
        except Reject as reject:
            reason = str(reject)
            rejects[reason] = rejects.get(reason, 0) + 1
            panes.reject(partition, watermarks.stands_in(partition))
            continue
        if start is None:
            late += 1
        else:
            panes.add(partition, start, values)
    expected = panes.closed(counters, args.pane_ms, watermarks.all_passed(partitions))
    if args.out:
        with open(args.out, "w") as out:
            out.write(json.dumps(expected, sort_keys=True, separators=(",", ":")) + "\n")
    summary = {
        "records": total,
        "counted": sum(len(rows) for rows in panes.rows.values()),
        "late": late,
        "rejects": rejects,
        "panes": len(expected["panes"]),
        "duplicate_keys": reader.duplicate_keys,
    }
    print(json.dumps(summary, sort_keys=True))
    if args.compare:
        with open(args.compare) as served:
            compare(expected, json.load(served))


def compare(expected, served):
    """Exits 1 with the first differences."""
    differences = []

    def differ(path, a, b):
        if len(differences) >= 20:
            return
        if isinstance(a, dict) and isinstance(b, dict):
            for key in a:
                differ(f"{path}.{key}", a[key], b.get(key, "absent"))
        elif a != b:
            differences.append(f"{path}: expected {a}, served {b}")

    a, b = expected["panes"], served["panes"]
    differ("panes", [pane["start"] for pane in a], [pane["start"] for pane in b])
    for mine, theirs in zip(a, b):
        differ(f"pane {mine['start']}", mine, theirs)
        extra = sorted(set(theirs["features"]) - set(mine["features"]))
        differ(f"pane {mine['start']}: features of no count", [], extra)
    if differences:
        sys.exit("produce.py: the counts differ\n" + "\n".join(differences))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)

    sub = commands.add_parser("reference")
    sub.set_defaults(run=reference)
    sub.add_argument("out")
    sub.add_argument("--rows", type=int, default=20_000)
    sub.add_argument("--seed", type=int, default=1)
    sub.add_argument("--prediction", action="store_true")
    sub.add_argument("--no-time", action="store_true")

    sub = commands.add_parser("produce")
    sub.set_defaults(run=produce)
    sub.add_argument("--brokers")
    sub.add_argument("--topic")
    sub.add_argument("--records", type=int, required=True)
    sub.add_argument("--seed", type=int, default=7)
    sub.add_argument("--partitions", type=int, default=3)
    sub.add_argument("--start-ms", type=int, default=1_760_000_000_000)
    sub.add_argument("--span-minutes", type=int, default=360)
    sub.add_argument("--prediction", action="store_true")
    sub.add_argument("--clean", action="store_true")
    sub.add_argument("--no-close", action="store_true")
    sub.add_argument("--drift", choices=NUMERIC)
    sub.add_argument("--drift-after-minutes", type=int, default=0)
    sub.add_argument("--drift-by", type=float, default=1.0)
    sub.add_argument("--dump")

    sub = commands.add_parser("count")
    sub.set_defaults(run=count)
    sub.add_argument("--profile", required=True)
    sub.add_argument("--brokers")
    sub.add_argument("--topic")
    sub.add_argument("--from", dest="dump")
    sub.add_argument("--pane-ms", type=int, default=300_000)
    sub.add_argument("--lateness-ms", type=int, default=LATENESS_MS)
    sub.add_argument("--out")
    sub.add_argument("--compare")

    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()

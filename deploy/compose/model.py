#!/usr/bin/env python3
"""A made-up card-fraud model for deploy/compose.yaml: its training data, its records, its retraining.

It writes the baseline, produces inference records for ever, lets the amounts drift after a while,
and takes driftd's webhook: a retraining writes a new baseline from how records are now. A POST to
/drift lets the drift begin at once.

Environment: KAFKA_BROKERS, TOPIC, BASELINE (a Parquet file), PORT, RATE (records a second),
BACKFILL_SECONDS (history that is written at once), DRIFT_AFTER_SECONDS (after the start).
"""

import http.server
import json
import os
import pathlib
import threading
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

BROKERS = os.environ.get("KAFKA_BROKERS", "kafka:9092")
TOPIC = os.environ.get("TOPIC", "fraud.inferences")
BASELINE = pathlib.Path(os.environ.get("BASELINE", "/baselines/fraud.parquet"))
PORT = int(os.environ.get("PORT", "8080"))
RATE = float(os.environ.get("RATE", "50"))
BACKFILL = float(os.environ.get("BACKFILL_SECONDS", "900"))
DRIFT_AFTER = float(os.environ.get("DRIFT_AFTER_SECONDS", "600"))
PARTITIONS = 3
OUTPUTS = ["prediction", "confidence"]
COUNTRIES = ["DE", "FR", "US", "GB", "NL"]
# One record in so many is broken, as in any real feed.
BROKEN = 500

rng = np.random.default_rng(1)
ready = threading.Event()
retrain = threading.Event()
drift = threading.Event()


def payments(n, drifted):
    """Columns of n payments; where `drifted`, amounts are 2.5 times what they were."""
    amount = rng.lognormal(3.5, 0.8, n) * (2.5 if drifted else 1.0)
    age_days = rng.gamma(2.0, 200.0, n)
    country = rng.choice(COUNTRIES, n, p=[0.4, 0.2, 0.2, 0.1, 0.1])
    foreign = rng.random(n) < 0.15
    score = 0.02 * amount - 0.003 * age_days + 0.8 * foreign - 1.5 + rng.normal(0, 0.3, n)
    prediction = 1 / (1 + np.exp(-score))
    return {
        "amount": amount.round(2),
        "age_days": age_days.round(1),
        "country": country,
        "foreign": foreign,
        "prediction": prediction.round(4),
        "confidence": np.maximum(prediction, 1 - prediction).round(4),
    }


def train(drifted):
    """Writes the baseline whole or not at all: driftd watches the file."""
    BASELINE.parent.mkdir(parents=True, exist_ok=True)
    part = BASELINE.with_suffix(".part")
    pq.write_table(pa.table(payments(20_000, drifted)), part)
    part.replace(BASELINE)
    print(f"wrote {BASELINE}, drifted: {drifted}", flush=True)


def records(n, start, end, drifted):
    """n records whose event time is spread over start..end, as (time in ms, payload)."""
    columns = payments(n, drifted)
    for i, at in enumerate(np.linspace(start, end, n, endpoint=False)):
        ms = int(at * 1000)
        if rng.integers(BROKEN) == 0:
            yield ms, b'{"ts": '
            continue
        row = {name: column[i].item() for name, column in columns.items()}
        outputs = {name: row.pop(name) for name in OUTPUTS}
        record = {"ts": ms, "features": row, **outputs}
        yield ms, json.dumps(record).encode()


def produce(producer, batch):
    for ms, payload in batch:
        partition = int(rng.integers(PARTITIONS))
        producer.produce(TOPIC, payload, partition=partition, timestamp=ms)
        producer.poll(0)


class Pipeline(http.server.BaseHTTPRequestHandler):
    """The retraining pipeline: takes any other POST, and says when the model is up."""

    def do_POST(self):
        if self.path == "/drift":
            drift.set()
            return self.answer(204, b"")
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        print(f"retraining asked for: {json.dumps(json.loads(body))}", flush=True)
        retrain.set()
        return self.answer(202, b"{}")

    def do_GET(self):
        self.answer(200 if ready.is_set() else 503, b"")

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def create_topic():
    admin = AdminClient({"bootstrap.servers": BROKERS})
    # A broker keeps records by their time stamp, and the history is of the last hour.
    topic = NewTopic(TOPIC, PARTITIONS, 1, config={"retention.ms": "86400000"})
    for created in admin.create_topics([topic]).values():
        try:
            created.result(30)
        except KafkaException as fault:
            if fault.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


def main():
    server = http.server.ThreadingHTTPServer(("0.0.0.0", PORT), Pipeline)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    create_topic()
    producer = Producer({"bootstrap.servers": BROKERS, "linger.ms": 20})
    train(drifted=False)
    begin = time.time()
    past = begin - BACKFILL
    produce(producer, records(int(RATE * BACKFILL), past, begin, False))
    producer.flush(60)
    ready.set()
    last = begin
    while True:
        time.sleep(1)
        now = time.time()
        if now >= begin + DRIFT_AFTER:
            drift.set()
        produce(producer, records(int(RATE * (now - last)), last, now, drift.is_set()))
        last = now
        if retrain.is_set():
            retrain.clear()
            train(drifted=drift.is_set())


if __name__ == "__main__":
    main()

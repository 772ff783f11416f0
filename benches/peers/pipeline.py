"""The same topic by confluent-kafka, orjson and numpy: what a user would write.

Arguments: the brokers, the topic, how many records it has, and a JSON file with the features: the edges of
numeric ones, the categories of the others. A turn reads the topic once by batch consumption, and either drops
the records (`raw`) or counts every feature of each batch (`count`); a turn times its own thread from the first
batch on.
"""

import json
import sys
import time
import uuid
from collections import Counter

import numpy
import orjson
from confluent_kafka import Consumer, TopicPartition

import turn

BATCH = 4096
brokers, topic, records = sys.argv[1], sys.argv[2], int(sys.argv[3])
with open(sys.argv[4]) as file:
    plan = json.load(file)
numbers = {name: numpy.array(edges) for name, edges in plan["numbers"].items()}
texts = plan["texts"]


def consumer():
    consumer = Consumer({
        "bootstrap.servers": brokers,
        "group.id": f"peer-{uuid.uuid4()}",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "fetch.queue.backoff.ms": 5,
    })
    partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    return consumer


def batches():
    """Every record of the topic, in lists of payloads."""
    reading, left = consumer(), records
    while left:
        messages = reading.consume(BATCH, timeout=10)
        if not messages:
            raise RuntimeError(f"{left} records are missing")
        failed = [message.error() for message in messages if message.error()]
        if failed:
            raise RuntimeError(str(failed[0]))
        left -= len(messages)
        yield messages
    reading.close()


def timed(use):
    first = None
    for messages in batches():
        if first is None:
            # As driftd is timed: from the first batch on, without joining and connecting.
            first = time.thread_time_ns(), time.perf_counter_ns()
        use(messages)
    return {
        "cpu_seconds": (time.thread_time_ns() - first[0]) / 1e9,
        "wall_seconds": (time.perf_counter_ns() - first[1]) / 1e9,
    }


def raw():
    return timed(lambda messages: None)


def count():
    counts = {name: numpy.zeros(len(edges) + 1, dtype=numpy.int64) for name, edges in numbers.items()}
    counters = {name: Counter() for name in texts}

    def use(messages):
        rows = [orjson.loads(message.value()) for message in messages]
        features = [row["features"] for row in rows]
        for name, edges in numbers.items():
            of = rows if name == "prediction" else features
            values = numpy.array([row[name] for row in of], dtype=numpy.float64)
            # Cells are closed on the right: (edge, edge].
            cells = numpy.searchsorted(edges, values, side="left")
            counts[name] += numpy.bincount(cells, minlength=len(edges) + 1)
        for name in texts:
            counters[name].update(row[name] for row in features)

    result = timed(use)
    result["counts"] = {name: cells.tolist() for name, cells in counts.items()}
    result["counts"] |= {name: [counter[value] for value in texts[name]] for name, counter in counters.items()}
    return result


turn.serve({"raw": raw, "count": count})

"""What replicas cost: CPU a record with 1 and with more of them, and the bytes on driftd's own topics.

    python benches/scale.py [--driftd target/release/driftd] [--features 8] [--rate 1500] 1 4

Needs the Kafka and the Python of tests/servers (`kafka.sh install`, `python.sh install`). Each run reads the
same records from a broker of its own: 12 partitions, an hour of event time, `rate` records a minute and partition.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import re
import subprocess
import tempfile
import time
import urllib.request

import pyarrow
import pyarrow.parquet
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

HERE = pathlib.Path(__file__).resolve().parent.parent
START = 1_767_225_600_000
PARTITIONS = 12
MINUTES = 60

CONFIG = """kafka: {{brokers: "{brokers}", group: g, options: {{session.timeout.ms: 6000}}}}
state: {{backend: kafka, snapshot_interval: 10s, topics: {{prefix: own, partitions: 3}}}}
http: {{public: "127.0.0.1:0", admin: "127.0.0.1:0"}}
models:
  - name: fraud
    topic: in
    start: earliest
    pane: 1m
    lateness: 1m
    fields: {{event_time: {{pointer: /ts, unit: ms}}}}
    drift_config: {{window: 1h, max_age: 6h, design_effect: 1, reference_dataset: "{folder}/ref.parquet"}}
"""


def produce(brokers, folder, names, rate):
    admin = AdminClient({"bootstrap.servers": brokers})
    topic = NewTopic("in", PARTITIONS, 1, config={"retention.ms": "-1"})
    admin.create_topics([topic])["in"].result()
    dice = random.Random(1)
    columns = {name: [dice.gauss(50, 10) for _ in range(20_000)] for name in names}
    pyarrow.parquet.write_table(pyarrow.table(columns), f"{folder}/ref.parquet")
    producer = Producer({"bootstrap.servers": brokers, "queue.buffering.max.messages": 1_000_000})
    all_records = MINUTES * rate * PARTITIONS
    for i in range(all_records):
        ts = START + i * MINUTES * 60_000 // all_records
        features = {name: round(dice.gauss(50, 10), 2) for name in names}
        record = json.dumps({"ts": ts, "features": features})
        producer.produce("in", record, partition=i % PARTITIONS, timestamp=ts)
        if i % 50_000 == 0:
            producer.flush()
    producer.flush()
    return all_records


def admin_address(log):
    for _ in range(600):
        found = re.search(r"admin=(\S+)", pathlib.Path(log).read_text())
        if found:
            return found.group(1)
        time.sleep(0.1)
    raise SystemExit(pathlib.Path(log).read_text())


def wait(addresses):
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(START // 1000 + (MINUTES - 2) * 60))
    for _ in range(3000):
        for address in addresses:
            with urllib.request.urlopen(f"http://{address}/api/v1/models/fraud") as answer:
                model = json.load(answer)
            if "evaluated_by" not in model and model["window"]["end"] == end:
                return
        time.sleep(0.2)
    raise SystemExit("the last pane did not close")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def volume(brokers):
    records, size = collections.Counter(), collections.Counter()
    for topic, partitions in (("specs", 1), ("state", 3), ("partials", 3), ("incidents", 3)):
        consumer = Consumer({"bootstrap.servers": brokers, "group.id": "x", "enable.partition.eof": True})
        consumer.assign([TopicPartition(f"own.{topic}", p, 0) for p in range(partitions)])
        ended = 0
        while ended < partitions:
            message = consumer.poll(10)
            if message is None or message.error():
                ended += 1
                continue
            kind = message.key().decode().split("/")[0]
            records[kind] += 1
            size[kind] += len(message.key()) + len(message.value() or b"")
        consumer.close()
    return records, size


def run(replicas, args):
    script = HERE / "tests/servers/kafka.sh"
    owner = dict(os.environ, DRIFTD_SERVER_OWNER=str(os.getpid()))
    with tempfile.TemporaryDirectory() as folder:
        started = subprocess.run([script, "start", f"{folder}/kafka"], env=owner, stdout=subprocess.PIPE, text=True, check=True)
        brokers, daemons = started.stdout.strip(), []
        try:
            n = produce(brokers, folder, [f"f{i}" for i in range(args.features)], args.rate)
            pathlib.Path(f"{folder}/c.yaml").write_text(CONFIG.format(brokers=brokers, folder=folder))
            logs = [f"{folder}/log{i}" for i in range(replicas)]
            command = [args.driftd, "run", "-c", f"{folder}/c.yaml"]
            daemons = [subprocess.Popen(command, stderr=open(log, "w")) for log in logs]
            wait([admin_address(log) for log in logs])
            cpu = sum(cpu_seconds(daemon.pid) for daemon in daemons)
            for daemon in daemons:
                daemon.terminate()
            for daemon in daemons:
                daemon.wait()
            print(f"{replicas} replicas: {n} records, {cpu:.2f} s of CPU, {cpu / n * 1e6:.2f} us a record")
            records, size = volume(brokers)
            for kind in sorted(records):
                print(f"  {kind:10}{records[kind]:7} records{size[kind]:11} bytes{size[kind] / records[kind]:10.0f} each")
        finally:
            for daemon in daemons:
                daemon.kill()
            subprocess.run([script, "stop", f"{folder}/kafka"], check=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("replicas", nargs="+", type=int)
    parser.add_argument("--driftd", default=str(HERE / "target/release/driftd"))
    parser.add_argument("--features", type=int, default=8)
    parser.add_argument("--rate", type=int, default=1500, help="records a minute and partition")
    args = parser.parse_args()
    for replicas in args.replicas:
        run(replicas, args)


main()

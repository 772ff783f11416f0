"""msgspec into typed structs, and orjson into dictionaries: the records of a file, one a line."""

import sys

import msgspec
import orjson

import turn

NUMBERS = sys.argv[3].split(",")
TEXTS = sys.argv[4].split(",")

Features = msgspec.defstruct(
    "Features",
    [(name, float | None, None) for name in NUMBERS] + [(name, str | None, None) for name in TEXTS],
)


class Record(msgspec.Struct):
    ts: int
    features: Features
    prediction: float | None = None


def lines(path):
    with open(path, "rb") as file:
        return file.read().splitlines()


records = {"stable": lines(sys.argv[1]), "shuffled": lines(sys.argv[2])}
typed = msgspec.json.Decoder(Record).decode


def with_msgspec(order):
    for record in records[order]:
        typed(record)


def with_orjson(order):
    loads = orjson.loads
    for record in records[order]:
        loads(record)


def sums(order):
    """What was read, to be compared: every number added up in order, and the letters of every text."""
    numbers, letters = [0.0] * (len(NUMBERS) + 1), [0] * len(TEXTS)
    for line in records[order]:
        record = typed(line)
        for i, name in enumerate(NUMBERS):
            numbers[i] += getattr(record.features, name)
        numbers[-1] += record.prediction
        for i, name in enumerate(TEXTS):
            letters[i] += len(getattr(record.features, name))
    return {"numbers": numbers, "letters": letters}


turn.serve({"msgspec": with_msgspec, "orjson": with_orjson, "sums": sums})

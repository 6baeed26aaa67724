"""What the programs of the matrix share: the command line, the records, and how they compare; see ../README.md."""

import sys
import time
import traceback
from collections import namedtuple

LIMIT_S = 30
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
BASE_MS = int(time.time() - 3600) * 1000

Record = namedtuple("Record", "offset key value headers timestamp")


class Unsupported(Exception):
    """The library has no such feature."""


def hundred():
    """What `produce` sends: a tombstone and an empty value among them."""
    values = {7: None, 8: b""}
    return [
        Record(
            n, b"key-%d" % n, values.get(n, b"value-%d " % n * 20), [("n", b"%d" % n), ("empty", b"")],
            BASE_MS + n * 1000,
        )
        for n in range(100)
    ]


def large_and_small(partition):
    """What `fetch` sends to a partition: 100 values of 1 KB, and in the first one of 900 KB in their middle."""
    values = [(b"%d-%d " % (partition, n)).ljust(1000, b".") for n in range(100)]
    if partition == 0:
        values.insert(50, b"large ".ljust(900_000, b"."))
    return values


def numbered(word, count, first=0):
    return [b"%s-%04d" % (word.encode(), n) for n in range(first, first + count)]


def check(what, got, wanted):
    """Fails unless both are equal; of lists it shows the first difference only."""
    if got == wanted:
        return
    if isinstance(got, list) and isinstance(wanted, list):
        at = next((n for n, (a, b) in enumerate(zip(got, wanted)) if a != b), min(len(got), len(wanted)))
        what = f"{what}: {len(got)} and not {len(wanted)} of them" if len(got) != len(wanted) else what
        got, wanted = got[at : at + 1], wanted[at : at + 1]
        what = f"{what}, at {at}"
    raise AssertionError(f"{what}: {str(got)[:500]} and not {str(wanted)[:500]}")


def failure_of(what, action):
    """The exception that `action` must raise."""
    try:
        answer = action()
    except Exception as failure:
        return failure
    raise AssertionError(f"{what} did not fail: {answer}")


def wait_until(what, condition):
    """Asks `condition` until it holds, and answers with what it answered."""
    deadline = time.monotonic() + LIMIT_S
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"after {LIMIT_S} s: {what}")
        time.sleep(0.02)
    return answer


def main(scenarios):
    """Runs the scenario of the command line: a function `(bootstrap, prefix)`."""
    bootstrap, prefix, scenario = sys.argv[1:]
    try:
        scenarios[scenario](bootstrap, prefix)
    except Unsupported as why:
        print(f"unsupported: {why}")
        sys.exit(3)
    except Exception:
        traceback.print_exc()
        sys.exit(1)
    print("ok")

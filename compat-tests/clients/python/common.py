"""What the three programs share: the command line, and the count of what was seen; see ../README.md."""

import sys
import threading
import time

PARTITIONS = 4
LIMIT_S = 30


class Seen:
    """Collects values until all of first..first+count came, each once, after every member had an equal share."""

    def __init__(self, members, first, count):
        self.members, self.first, self.count = members, first, count
        self.values, self.shares, self.was_settled = set(), {}, False
        self.lock = threading.Lock()

    def add(self, value):
        n = int(value)
        with self.lock:
            if not self.first <= n < self.first + self.count or n in self.values:
                raise AssertionError(f"record {n} is not expected (again)")
            self.values.add(n)

    def share(self, member, size):
        with self.lock:
            self.shares[member] = size
            self.was_settled |= list(self.shares.values()) == [PARTITIONS // self.members] * self.members

    def settled(self):
        return self.was_settled

    def done(self):
        with self.lock:
            return len(self.values) == self.count

    def __str__(self):
        return f"{len(self.values)} of {self.count} records, shares {self.shares}"


def arguments():
    bootstrap, topic, group, count = sys.argv[1:]
    return bootstrap, topic, group, int(count)


def in_threads(seen, member, produce):
    """Runs `member(number)` for each member on a thread of its own, and `produce` once they share the partitions."""
    failures = []

    def run(number):
        try:
            member(number)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(seen.members)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + LIMIT_S
    produced = False
    while any(thread.is_alive() for thread in threads):
        if failures:
            break
        if time.monotonic() > deadline:
            raise AssertionError(f"after {LIMIT_S} s: {seen}")
        if seen.settled() and not produced:
            produce()
            produced = True
        time.sleep(0.01)
    if failures:
        raise failures[0]

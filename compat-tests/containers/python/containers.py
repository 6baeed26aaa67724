"""Starts the image through the Kafka module, and uses what it gives: containers.py CASE IMAGE"""

import datetime
import re
import sys
import time

import docker.errors
from testcontainers.core.network import Network
from testcontainers.kafka import KafkaContainer

from client import cluster_id, exchange, same

STOP_LIMIT_S = 3
OTHER_CLUSTER_ID = "b3R0bGEtY29udGFpbmVycw"


def main(case, image):
    container = KafkaContainer(image)
    if case.startswith("kraft"):
        use(container.with_kraft())
    elif case == "cluster-id":
        use(container.with_kraft().with_cluster_id(OTHER_CLUSTER_ID), OTHER_CLUSTER_ID)
    elif case == "in-a-network":
        with Network() as network:
            use(container.with_kraft().with_network(network).with_network_aliases("ottla"))
    elif case in ("zookeeper", "any-name"):
        use(container)
    else:
        raise AssertionError(f"no case {case}")
    print("ok")


def use(container, expected_id=None):
    try:
        container.start()
        print_start(container.get_wrapped_container(), time.time())
        bootstrap = container.get_bootstrap_server()
        if expected_id is not None:
            same("cluster id", expected_id, cluster_id(bootstrap))
        exchange(bootstrap, "records")
        stop(container)
    except BaseException:
        if wrapped := container.get_wrapped_container():
            try:
                print(wrapped.logs().decode(errors="replace"), file=sys.stderr)
                wrapped.remove(force=True)
            except docker.errors.NotFound:
                pass
        raise


def print_start(wrapped, ready):
    wrapped.reload()
    # Python's clock stops at microseconds, the engine's does not.
    started = re.sub(r"(\.\d{6})\d*", r"\1", wrapped.attrs["State"]["StartedAt"])
    taken = ready - datetime.datetime.fromisoformat(started).timestamp()
    print(f"ready after {taken * 1000:.0f} ms", file=sys.stderr)


def stop(container):
    wrapped = container.get_wrapped_container()
    asked = time.monotonic()
    container.stop()
    taken = time.monotonic() - asked
    print(f"stopped after {taken * 1000:.0f} ms", file=sys.stderr)
    if taken > STOP_LIMIT_S:
        raise AssertionError(f"it took {taken:.1f} s to stop")
    try:
        wrapped.reload()
    except docker.errors.NotFound:
        return
    raise AssertionError(f"the container is still there, {wrapped.status}")


main(*sys.argv[1:])

"""Stands between clients of Docker's API and podman, and puts its description of a container into Docker's words.

Inspecting a container, podman 4 leaves HostIp empty where Docker says 0.0.0.0, and lists under PortBindings, as null, ports
that are exposed but not published; a container that has ended can be "stopped". Testcontainers for Rust and for Node trip
over these. All else passes untouched.

    docker_words.py LISTEN_SOCKET PODMAN_SOCKET
"""

import asyncio
import json
import os
import re
import sys

INSPECT = re.compile(rb"^GET (/v[\d.]+)?/containers/[^/ ]+/json[ ?]")


def in_dockers_words(body):
    container = json.loads(body)
    bindings = container.get("HostConfig", {}).get("PortBindings") or {}
    container["HostConfig"]["PortBindings"] = {port: to for port, to in bindings.items() if to}
    state = container.get("State", {})
    # Docker knows no such state.
    state["Status"] = {"stopped": "exited", "configured": "created"}.get(state.get("Status"), state.get("Status"))
    for published in (container.get("NetworkSettings", {}).get("Ports") or {}).values():
        for binding in published or []:
            binding["HostIp"] = binding.get("HostIp") or "0.0.0.0"
    return json.dumps(container).encode()


async def read_head(reader):
    """The lines of a head up to the empty one; nothing at the end of the stream."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


def header(head, name):
    found = re.search(rb"(?im)^" + name + rb": *([^\r\n]*)", head)
    return found.group(1) if found else b""


async def read_body(reader, head):
    if b"chunked" in header(head, b"transfer-encoding").lower():
        body = b""
        while True:
            size = int((await reader.readline()).split(b";")[0], 16)
            body += await reader.readexactly(size)
            await reader.readline()
            if size == 0:
                return body
    return await reader.readexactly(int(header(head, b"content-length") or 0))


async def pipe(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except (OSError, asyncio.IncompleteReadError):
        writer.close()


def closing(head):
    return re.sub(rb"(?i)\r\nconnection: [^\r\n]*", b"", head[:-4]) + b"\r\nConnection: close\r\n\r\n"


async def serve(reader, writer):
    """Inspections are answered one by one; anything else takes the connection to its end."""
    try:
        while head := await read_head(reader):
            podman_reader, podman_writer = await asyncio.open_unix_connection(sys.argv[2], limit=1 << 20)
            if not INSPECT.match(head):
                # A request of known length is the last that podman gets from here: the next may be an inspection.
                upgraded = header(head, b"upgrade") or header(head, b"transfer-encoding")
                length = int(header(head, b"content-length") or 0)
                if upgraded:
                    podman_writer.write(head)
                    await asyncio.gather(pipe(reader, podman_writer), pipe(podman_reader, writer))
                    return
                podman_writer.write(closing(head) + await reader.readexactly(length))
                await pipe(podman_reader, writer)
                return
            podman_writer.write(closing(head))
            answer = await read_head(podman_reader)
            body = await read_body(podman_reader, answer)
            podman_writer.close()
            if b" 200 " in answer.split(b"\r\n", 1)[0]:
                body = in_dockers_words(body)
            kept = re.sub(rb"(?i)\r\n(transfer-encoding|content-length|connection): [^\r\n]*", b"", answer[:-4])
            writer.write(kept + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
    except (OSError, ValueError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main():
    if os.path.exists(sys.argv[1]):
        os.remove(sys.argv[1])
    server = await asyncio.start_unix_server(serve, sys.argv[1], limit=1 << 20)
    await server.serve_forever()


asyncio.run(main())

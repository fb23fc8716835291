"""A server that has no descriptor left."""

import os
import resource
import socket
import time

from conftest import start

REQUEST = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"


def test_without_descriptors_a_server_rests_and_goes_on_once_there_are_some(tmp_path):
    server = start(tmp_path, timeout=60)
    try:
        # Those of libdispatch, which ends a process that has none for it when it first wants some.
        until(lambda: descriptors(server.pid).count("anon_inode:[eventpoll]") > 1)
        limit = len(descriptors(server.pid)) + 4
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (limit, limit))
        # More than it can take; the first of them it has.
        connections = [socket.create_connection(("127.0.0.1", server.ports["http"]), timeout=30) for _ in range(limit)]
        until(lambda: len(descriptors(server.pid)) == limit)
        # What it looks for in vain keeps it neither from resting nor from those that it has.
        before, begun = seconds(server.pid), time.monotonic()
        while time.monotonic() < begun + 1:
            assert answered(connections[0])
            time.sleep(0.1)
        assert seconds(server.pid) - before < 0.1
        for connection in connections[:-1]:
            connection.close()
        assert answered(connections[-1])
        connections[-1].close()
    finally:
        server.process.kill()
        server.process.wait()


def until(holds):
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def descriptors(pid):
    """What each of them is; none is passed over between the numbers."""
    folder = f"/proc/{pid}/fd"
    return [os.readlink(f"{folder}/{name}") for name in os.listdir(folder)]


def answered(connection):
    connection.sendall(REQUEST)
    return connection.recv(4096).startswith(b"HTTP/1.1 200")


def seconds(pid):
    """Processor time of all its threads."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

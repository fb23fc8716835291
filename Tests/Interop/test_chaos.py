"""Servers as processes that are restarted, killed and cut off under a client of ours that calls all the time."""

import os
import signal
import socket
import subprocess
import threading
import time

import pytest
from conftest import BIN, read_line, stop, wait_for

# The longer form, for a change of the client: EMAILMCP_CHAOS_RESTARTS=50.
RESTARTS = int(os.environ.get("EMAILMCP_CHAOS_RESTARTS", "9"))
KILLS = max(3, RESTARTS // 5)


class Replica:
    """A server on a port of its own, which it keeps over its restarts."""

    def __init__(self):
        # Held without listening, so that nobody else is given it: our servers set SO_REUSEPORT too.
        self.holder = socket.socket()
        self.holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.holder.bind(("0.0.0.0", 0))
        self.port = self.holder.getsockname()[1]
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [BIN / "interop-server", "--port", str(self.port)], stdout=subprocess.PIPE, text=True)
        read_line(self.process)

    def restart(self, number):
        self.process.send_signal(number)
        assert self.process.wait(30) == (0 if number == signal.SIGTERM else -number)
        self.start()

    def stop(self):
        stop(self.process)
        self.holder.close()


@pytest.fixture
def replicas():
    running = [Replica() for _ in range(3)]
    yield running
    for each in running:
        each.stop()


class Load:
    """Our client, eight calls at one time, until it is told to stop."""

    def __init__(self, ports, *flags):
        self.process = subprocess.Popen(
            [BIN / "interop-client", "--target", "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports),
             "--test_case", "load_until_input_ends", *flags],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.goes_on()

    def goes_on(self):
        """Calls that begin now end; gives how many have."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return int(read_line(self.process))

    def end(self):
        """Calls, failures, the slowest call in milliseconds."""
        told, errors = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, errors
        return [float(word) for word in told.splitlines()[-2].split()]


def test_no_idempotent_call_fails_while_servers_are_restarted_and_killed(replicas):
    load = Load([each.port for each in replicas])
    for number in range(RESTARTS):
        replicas[number % 3].restart(signal.SIGTERM)
        load.goes_on()
    for number in range(KILLS):
        replicas[number % 3].restart(signal.SIGKILL)
        load.goes_on()
    calls, failures, _ = load.end()
    assert calls > 100 and failures == 0


def test_a_server_killed_mid_stream_is_unavailable_at_once_and_the_other_calls_go_on(replicas):
    load = Load([each.port for each in replicas])
    stream = subprocess.Popen(
        [BIN / "interop-client", "--server_host", "127.0.0.1", "--server_port", str(replicas[0].port),
         "--test_case", "stream_until_lost"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert read_line(stream) == "open"
    replicas[0].process.kill()
    _, errors = stream.communicate(timeout=20)  # the stream itself would go on for half an hour
    assert stream.returncode == 0, errors
    before = load.goes_on()
    assert load.goes_on() >= before
    assert load.end()[1] == 0


class BlackHole:
    """Forwards a port until it is shut: then nothing passes, and nothing is closed."""

    def __init__(self, target):
        self.target, self.is_shut, self.sockets = target, False, []
        self.passed = 0  # bytes
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.sockets.append(client)
            if self.is_shut:
                continue
            server = socket.create_connection(("127.0.0.1", self.target))
            self.sockets.append(server)
            for way in ((client, server), (server, client)):
                threading.Thread(target=self.pump, args=way, daemon=True).start()

    def pump(self, source, sink):
        try:
            while data := source.recv(65536):
                if not self.is_shut:
                    sink.sendall(data)
                    self.passed += len(data)
        except OSError:
            pass

    def close(self):
        self.listener.close()
        for each in self.sockets:
            each.close()


def test_a_connection_into_the_void_is_found_by_keepalive_and_its_calls_go_elsewhere(replicas):
    hole = BlackHole(replicas[0].port)
    load = Load([hole.port, replicas[1].port], "--keepalive")
    deadline = time.monotonic() + 30
    while hole.passed < 10_000:  # calls go by it, not only by the other
        assert time.monotonic() < deadline, hole.passed
        time.sleep(0.01)
    hole.is_shut = True
    load.goes_on()  # those that hung in it too
    calls, failures, slowest = load.end()
    hole.close()
    # Found by keepalive, after 10 s and another, not by the calls' own 30 s: some hung until then, none failed.
    assert failures == 0 and 10_000 <= slowest < 28_000, (calls, failures, slowest)

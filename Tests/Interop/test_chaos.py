"""Servers as processes that are restarted, killed and cut off under a client of ours that calls all the time."""

import os
import signal
import socket
import subprocess
import time

import pytest
from conftest import BIN, read_line, stop
from forwarder import Forwarder

# The longer form, for a change of the client: EMAILMCP_CHAOS_RESTARTS=50.
RESTARTS = int(os.environ.get("EMAILMCP_CHAOS_RESTARTS", "9"))
KILLS = max(3, RESTARTS // 5)


class Replica:
    """A server on a port of its own, which it keeps over its restarts."""

    def __init__(self):
        # Held without listening, so that nobody else is given it: our servers set both options too, and one that starts asks
        # whether anybody listens, which a holder without SO_REUSEADDR seems to do.
        self.holder = socket.socket()
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            self.holder.setsockopt(socket.SOL_SOCKET, option, 1)
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


def addresses(*ports):
    return "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)


class Load:
    """Our client, eight calls at one time, until it is told to stop."""

    def __init__(self, target, *flags, **environment):
        self.process = subprocess.Popen(
            [BIN / "interop-client", "--target", target, "--test_case", "load_until_input_ends", *flags],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | environment)
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
    load = Load(addresses(*(each.port for each in replicas)))
    for number in range(RESTARTS):
        replicas[number % 3].restart(signal.SIGTERM)
        load.goes_on()
    for number in range(KILLS):
        replicas[number % 3].restart(signal.SIGKILL)
        load.goes_on()
    calls, failures, _ = load.end()
    assert calls > 100 and failures == 0


def test_a_server_killed_mid_stream_is_unavailable_at_once_and_the_other_calls_go_on(replicas):
    load = Load(addresses(*(each.port for each in replicas)))
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


def test_a_connection_into_the_void_is_found_by_keepalive_and_its_calls_go_elsewhere(replicas):
    hole = Forwarder(replicas[0].port)
    load = Load(addresses(hole.port, replicas[1].port), "--keepalive")
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


class Name:
    """A host name of a client's own, by libnss-wrapper, which reads a file in place of /etc/hosts."""

    def __init__(self, folder):
        self.file, self.environment = folder / "hosts", {
            "LD_PRELOAD": "libnss_wrapper.so", "NSS_WRAPPER_HOSTS": str(folder / "hosts")}

    def has(self, count):
        """It stands for so many addresses from now on."""
        changed = self.file.with_suffix(".new")
        changed.write_text("".join(f"127.0.0.{number} replicas.test\n" for number in range(1, count + 1)))
        os.utime(changed, (count, count))  # by its time, in seconds, the file is known to be another
        changed.rename(self.file)


def test_servers_that_are_added_are_found_within_the_refresh_bound_and_take_their_share(replicas, tmp_path):
    refresh = 4  # seconds; ± 20 %
    ways = [Forwarder(replicas[0].port)]
    ways += [Forwarder(each.port, (f"127.0.0.{number}", ways[0].port)) for number, each in enumerate(replicas[1:], 2)]
    name = Name(tmp_path)
    name.has(1)
    load = Load(f"dns:///replicas.test:{ways[0].port}", "--refresh", str(refresh), **name.environment)
    assert [way.passed > 0 for way in ways] == [True, False, False]

    name.has(3)
    began = time.monotonic()
    while not all(way.passed > 1000 for way in ways):
        # One second for the look-up itself, the connections and a busy machine.
        assert time.monotonic() - began < refresh * 1.2 + 1, [way.passed for way in ways]
        time.sleep(0.01)

    before, calls = [way.passed for way in ways], load.goes_on()
    while load.goes_on() < calls + 3000:
        pass
    shares = [way.passed - old for way, old in zip(ways, before)]  # all calls are the same bytes
    assert all(abs(share / (sum(shares) / 3) - 1) <= 0.1 for share in shares), shares
    assert load.end()[1] == 0
    for way in ways:
        way.close()

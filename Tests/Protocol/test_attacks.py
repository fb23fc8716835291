"""Peers that mean harm. While each of them works, an honest client's calls all succeed, the process grows by no more than
64 MiB, and a metric names what the attacker ran into.

`script/bench attacks` runs the same three times against a release build, alone on the machine, and holds the honest
client's p99 during each attack to three times that of the second before it, in the median of the three
(EMAILMCP_ATTACK_REPORT names the file of its table).
"""

import gzip
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest
from conftest import start
from peer import (
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, PING, PREFACE, PRIORITY, RST_STREAM,
    SETTINGS, Closed, Peer, frame, priority, rst_stream, settings, window_update)

MEMORY = 64 << 20
# Under a sanitizer memory says nothing: what is freed is kept for a while, and shadows are kept of all.
SANITIZED = "EMAILMCP_SANITIZER" in os.environ
# How often an attacker comes again after it was thrown out.
ROUNDS = 3
# The time limits of the server under attack, in seconds.
TIMEOUT = 1
# Where the latencies are measured: the table's file. Otherwise they would say more about the machine than the server.
REPORT = os.environ.get("EMAILMCP_ATTACK_REPORT")
# With it, an attack takes so many seconds at least, and as many are measured before it; and comes so often, for once says
# as much of the machine's moment.
MEASURED = 1.5
TIMES = ["1st", "2nd", "3rd"] if REPORT else ["once"]
P99_GROWTH = 3


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    running = start(tmp_path_factory.mktemp("attacked"), timeout=TIMEOUT)
    yield running
    assert running.process.poll() is None, "the server ended under attack"
    running.process.kill()
    running.process.wait()


class Honest:
    """The honest client's process, and what it has told so far."""

    def __init__(self, server):
        self.calls, self.failures = [], []
        self.process = subprocess.Popen(
            [sys.executable, pathlib.Path(__file__).with_name("honest.py"), str(server.ports["rpc"]),
             str(server.ports["http"])], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self.read)
        self.reader.start()
        self.caught_up()

    def read(self):
        for line in self.process.stdout:
            kind, begun, rest = line.rstrip("\n").split(" ", 2)
            if kind == "failed":
                self.failures.append((float(begun), rest))
            else:
                self.calls.append((kind, float(begun), float(rest)))

    def caught_up(self):
        """Waits until a call of each kind that began after now has ended."""
        now, deadline = time.monotonic(), time.monotonic() + 60
        while {kind for kind, begun, _ in self.calls[-200:] if begun > now} != {"rpc", "http"}:
            assert time.monotonic() < deadline and self.process.poll() is None, self.failures
            time.sleep(0.01)

    def p99(self, kind, since, until):
        """Milliseconds, of the calls that were under way in this time."""
        times = sorted(took for each, begun, took in self.calls
                       if each == kind and begun < until and begun + took > since)
        return times[int(len(times) * 0.99)] * 1000

    def stop(self):
        self.process.stdin.close()
        self.process.wait()
        self.reader.join()


def memory(server, kind):
    for line in pathlib.Path(f"/proc/{server.pid}/status").read_text().splitlines():
        if line.startswith(kind):
            return int(line.split()[1]) * 1024


def keep_apart(server, client):
    """The server on a core of its own, and on the others the attacker, only while the honest client sleeps: what is
    measured is how the server shares its time, not how the machine does. That takes a real-time client: between threads
    of the fair class, be the attacker's ever so nice, one waits for the other's slice, 3 ms."""
    cores = sorted(os.sched_getaffinity(0))
    for process, own in [(server.pid, cores[:1]), (client.process.pid, cores[1:]), (os.getpid(), cores[1:])]:
        for thread in os.listdir(f"/proc/{process}/task"):
            if len(cores) > 1:
                os.sched_setaffinity(int(thread), own)
            if process == client.process.pid:
                os.sched_setscheduler(int(thread), os.SCHED_FIFO, os.sched_param(1))


@pytest.fixture(scope="module")
def honest(attacked):
    client = Honest(attacked)
    if REPORT:
        keep_apart(attacked, client)
    yield client
    client.stop()


class Siege:
    """Measures around an attack."""

    # Of each attack, for each time: how much the p99 grew, and its row of the table.
    measured = {}

    def __init__(self, server, honest, name):
        self.server, self.honest, self.name = server, honest, name

    def __enter__(self):
        pathlib.Path(f"/proc/{self.server.pid}/clear_refs").write_text("5")  # the peak begins anew
        self.before, self.start = self.server.metrics(), memory(self.server, "VmRSS")
        self.honest.caught_up()
        self.quiet_since = time.monotonic()
        if REPORT:
            time.sleep(MEASURED)
        self.began = time.monotonic()
        return self

    def rounds(self):
        """How often the attacker comes again."""
        count = 0
        while count < ROUNDS or REPORT and time.monotonic() - self.began < MEASURED:
            yield count
            count += 1

    def __exit__(self, kind, *_):
        if kind:
            return
        ended = time.monotonic()
        self.honest.caught_up()
        grown = memory(self.server, "VmHWM") - self.start
        failures = [reason for begun, reason in self.honest.failures if begun >= self.quiet_since]
        assert not failures, failures
        assert grown <= MEMORY or SANITIZED, f"{grown >> 20} MiB"
        if REPORT:
            self.report(ended, grown)

    def report(self, ended, grown):
        pairs = [(self.honest.p99(kind, self.quiet_since, self.began), self.honest.p99(kind, self.began, ended))
                 for kind in ("rpc", "http")]
        worst = max(during / quiet for quiet, during in pairs)
        cells = " | ".join(f"{quiet:.1f} → {during:.1f}" for quiet, during in pairs)
        row = f"| {self.name} | {cells} | {worst:.1f} | {grown >> 10} |\n"
        self.measured.setdefault(self.name, []).append((worst, row))

    def risen(self, *names, by=1):
        """These metrics have risen, within a while, by so much together."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            after = self.server.metrics()
            if sum(after.get(name, 0) - self.before.get(name, 0) for name in names) >= by:
                return
            time.sleep(0.1)
        counted = {name: value for name, value in after.items()
                   if value != self.before.get(name, 0) and "limit" in name}
        raise AssertionError(f"{names} have not risen by {by}; what has: {counted}")


@pytest.fixture(params=TIMES)
def siege(attacked, honest, request):
    name = request.node.name.removeprefix("test_")
    return Siege(attacked, honest, re.sub(f"-{request.param}|{request.param}-?", "", name))


@pytest.fixture(params=["rpc", "http"])
def victim(request, attacked):
    return attacked.target(request.param)


def limits(target, *names):
    """The metrics that count these limits at a target."""
    if target.name == "rpc":
        return [f'rpc_http2_limits_total{{limit="{name}"}}' for name in names]
    return [f'http_limits_total{{limit="http2_{name}"}}' for name in names] + [
        f'http_limits_total{{limit="{name}"}}' for name in names]


def pushed(peer, data):
    """Sends all of it, whether or not the server still listens; reads meanwhile, so that nobody waits for us."""
    peer.socket.settimeout(20)
    view = memoryview(data)
    try:
        while view:
            view = view[peer.socket.send(view[:65536]):]
            peer.socket.setblocking(False)
            try:
                while peer.socket.recv(1 << 20):
                    pass
            except BlockingIOError:
                pass
            peer.socket.settimeout(20)
    except (BrokenPipeError, ConnectionResetError, TimeoutError):
        pass


def flooded(peer, data):
    """As `pushed`, then waits until the server has dealt with it: a peer that closes with answers unread sends a reset,
    and what the server has not yet read is gone."""
    pushed(peer, data)
    try:
        peer.socket.shutdown(socket.SHUT_WR)
        while peer.socket.recv(1 << 20):
            pass
    except OSError:
        pass


# -- floods: each is a function of connection and target that gives bytes to send, and the limit that stops it

FLOODS = {}


def flood(*names):
    def register(function):
        FLOODS[function.__name__] = (function, names)
        return function

    return register


def streams(peer, target, count, **options):
    """HEADERS of so many streams, all the same on the wire once the table knows them."""
    blocks = [peer.block(target.fields()) for _ in range(3)]
    for number in range(count):
        yield 2 * number + 1, frame(
            HEADERS, END_HEADERS | (END_STREAM if options.get("end") else 0), 2 * number + 1, blocks[min(number, 2)])


@flood("peer_resets")
def rapid_reset(peer, target):
    return b"".join(opening + rst_stream(stream) for stream, opening in streams(peer, target, 5000))


@flood("provoked_resets", "invalid_frames")
def made_you_reset_by_window_overflow(peer, target):
    return b"".join(
        opening + window_update(stream, 0x7FFF_FFFF) for stream, opening in streams(peer, target, 5000))


@flood("protocol_violation")
def made_you_reset_by_empty_window_updates(peer, target):
    return b"".join(opening + window_update(stream, 0) for stream, opening in streams(peer, target, 5000))


@flood("protocol_violation", "provoked_resets")
def made_you_reset_by_bad_priority(peer, target):
    return b"".join(
        opening + frame(PRIORITY, 0, stream, bytes(4)) for stream, opening in streams(peer, target, 5000))


@flood("provoked_resets", "header_list_size", "invalid_frames")
def made_you_reset_by_malformed_fields(peer, target):
    return b"".join(
        frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, peer.block(target.fields(("connection", "close"))))
        for number in range(5000))


@flood("continuations", "header_block_bytes")
def continuation_flood(peer, target):
    return frame(HEADERS, 0, 1, peer.block(target.fields())) + frame(CONTINUATION, 0, 1, b"\0\1x\1y") * 20_000


@flood("header_block_bytes", "header_list_size", "continuations")
def endless_header_block(peer, target):
    literal = b"\0\x01x\x7f\x80\x7e" + bytes([0x61]) * 16255
    return frame(HEADERS, 0, 1, peer.block(target.fields())) + frame(CONTINUATION, 0, 1, literal) * 100


@flood("header_list_size", "provoked_resets")
def hpack_bomb(peer, target):
    """A value of 4 KiB goes into the table once and is named 16,000 times by a byte each."""
    bomb = b"\x40\x01x\x7f\x81\x1e" + b"a" * 3967 + bytes([0xBE]) * 12_000
    return b"".join(
        frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, peer.block(target.fields()) + bomb)
        for number in range(200))


@flood("pings")
def ping_flood(peer, target):
    return frame(PING, 0, 0, bytes(8)) * 50_000


@flood("settings")
def settings_flood(peer, target):
    return settings((INITIAL_WINDOW_SIZE, 65535)) * 50_000


@flood("empty_data")
def empty_data(peer, target):
    peer.headers(1, target.fields())
    return frame(DATA, 0, 1, b"") * 50_000


@flood("window_updates")
def window_updates(peer, target):
    return window_update(0, 1) * 50_000


@flood("priorities")
def priorities(peer, target):
    return b"".join(priority(2 * number + 1, 2 * number + 3) for number in range(50_000))


@flood("unknown_frames")
def unknown_frames(peer, target):
    return frame(0xFA, 0, 0, b"") * 50_000


@pytest.mark.parametrize("name", FLOODS)
def test_flood(name, victim, siege):
    make, names = FLOODS[name]
    with siege:
        for _ in siege.rounds():
            with Peer(victim.port) as peer:
                flooded(peer, make(peer, victim))
        siege.risen(*limits(victim, *names))


def test_more_streams_than_allowed(victim, siege):
    with siege:
        for _ in siege.rounds():
            with Peer(victim.port) as peer:
                flooded(peer, b"".join(opening for _, opening in streams(peer, victim, 5000)))
        siege.risen(*limits(victim, "protocol_violation"))


def test_more_streams_than_a_limit_that_was_not_acknowledged(victim, siege):
    """Who does not know the limit yet has the streams above it refused, but not for ever."""
    with siege:
        for _ in siege.rounds():
            with Peer(victim.port, hello=False) as peer:
                opened = b"".join(opening for _, opening in streams(peer, victim, 5000))
                flooded(peer, PREFACE + settings() + opened)
        siege.risen(*limits(victim, "refused_streams"))


# -- peers that wait


def until_closed(peers, limit=60):
    """The server ends each of the connections."""
    deadline = time.monotonic() + limit
    for peer in peers:
        peer.socket.settimeout(max(0.1, deadline - time.monotonic()))
        try:
            while peer.socket.recv(1 << 20):
                pass
        except ConnectionResetError:
            pass
        peer.socket.close()


@pytest.mark.parametrize("sent", [b"", b"PRI * HTTP", PREFACE], ids=["nothing", "half a preface", "no settings"])
def test_silent_connections(sent, victim, siege):
    """Half-open and idle before the first request. A silent connection to the HTTP server is one that a browser has
    opened in advance: it has the idle time."""
    if victim.name == "http" and not sent:
        pytest.skip("browsers do so")
    with siege:
        peers = [Peer(victim.port, hello=False) for _ in range(200)]
        for peer in peers:
            peer.send(sent)
        until_closed(peers)
        siege.risen(*limits(victim, "handshake_timeout", "header_timeout"))


@pytest.mark.parametrize("name", ["rpc", "http"])
def test_slow_tls_handshake(name, attacked, siege):
    with siege:
        peers = [Peer(attacked.ports[f"{name}_tls"], hello=False) for _ in range(200)]
        for peer in peers:
            peer.send(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a ClientHello
        until_closed(peers)
        siege.risen(*limits(attacked.target(name), "handshake_timeout"))


def test_settings_that_are_not_acknowledged(victim, siege):
    with siege:
        peers = [Peer(victim.port, hello=False) for _ in range(50)]
        for peer in peers:
            peer.send(PREFACE + settings())
        until_closed(peers)
        siege.risen(*limits(victim, "settings_timeout"))


def test_slow_headers(victim, siege):
    with siege:
        peers = [Peer(victim.port) for _ in range(50)]
        for peer in peers:
            peer.send(frame(HEADERS, 0, 1, peer.block(victim.fields())))
        for _ in range(5):  # a byte now and then does not help
            time.sleep(0.1)
            for peer in peers:
                peer.send(frame(CONTINUATION, 0, 1, b""))
        until_closed(peers)
        siege.risen(*limits(victim, "header_timeout"))


def test_a_slow_single_headers_frame(victim, siege):
    """END_HEADERS stands in the frame's header; what it announces comes byte by byte."""
    with siege:
        peers = [Peer(victim.port) for _ in range(50)]
        frames = [frame(HEADERS, END_HEADERS | END_STREAM, 1, peer.block(victim.fields())) for peer in peers]
        for peer, whole in zip(peers, frames):
            peer.send(whole[:10])
        for step in range(10, 15):
            time.sleep(0.1)
            for peer, whole in zip(peers, frames):
                peer.send(whole[step : step + 1])
        until_closed(peers)
        siege.risen(*limits(victim, "header_timeout"))


# SimpleRequest { response_size: 4,000,000 } behind its prefix.
LARGE = b"\0\0\0\0\x05\x10\x80\x92\xf4\x01"


def large(target):
    path = "/grpc.testing.TestService/UnaryCall" if target.name == "rpc" else "/large"
    return target.fields(path=path)


def test_zero_window(victim, siege):
    """Answers that the client asks for and does not let go: each stream ends in time."""
    with siege:
        peers = [Peer(victim.port, first_settings=settings((INITIAL_WINDOW_SIZE, 0))) for _ in range(4)]
        for peer in peers:
            peer.headers(1, large(victim))
            peer.send(frame(DATA, END_STREAM, 1, LARGE))
        for peer in peers:
            try:
                while peer.read().kind != 3:
                    pass
            except Closed:
                pass
        siege.risen(*limits(victim, "window_stall"))


def test_zero_window_on_all_streams(victim, siege):
    """Half a gigabyte of answers of the gRPC server, an eighth of the other, if they waited for the time to be up."""
    with siege:
        peer = Peer(victim.port, first_settings=settings((INITIAL_WINDOW_SIZE, 0)))
        for number in range(128):
            peer.headers(2 * number + 1, large(victim))
            peer.send(frame(DATA, END_STREAM, 2 * number + 1, LARGE))
            if number % 8 == 7:  # not so many at once that the handlers' own memory counts
                peer.send(settings())
                while peer.read().kind != SETTINGS:
                    pass
        while len({came.stream for came in peer.frames if came.kind == RST_STREAM}) < 128:
            peer.read()
        siege.risen(*limits(victim, "response_bytes"))


def test_pipelined_requests_of_a_client_that_never_reads(attacked, siege):
    """Almost a gigabyte of answers, if each request were answered when it comes."""
    target = attacked.target("http")
    with siege:
        clients = [socket.create_connection(("127.0.0.1", target.port)) for _ in range(4)]
        for client in clients:
            client.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200)
        siege.risen(*limits(target, "write_stall"), by=len(clients))
        for client in clients:
            client.close()


def test_a_client_that_never_reads(victim, siege):
    """The windows are wide open, and nobody takes what comes."""
    with siege:
        peers = []
        for _ in range(4):
            peer = Peer(
                victim.port, first_settings=settings((INITIAL_WINDOW_SIZE, 0x7FFF_FFFF)), receive_buffer=4096)
            peer.send(window_update(0, 0x7FFF_0000))
            for number in range(2 if victim.name == "rpc" else 10):
                peer.headers(2 * number + 1, large(victim))
                peer.send(frame(DATA, END_STREAM, 2 * number + 1, LARGE))
            peers.append(peer)
        # Each connection ends by it; what lies in the system's buffers would still be read here for a long time.
        siege.risen(*limits(victim, "write_stall"), by=len(peers))
        for peer in peers:
            peer.socket.close()


def test_a_flood_that_does_not_read_its_goaway(victim, siege):
    """Pings whose answers nobody reads, until the server's own output stands; it must not keep the connection."""
    with siege:
        peers = [Peer(victim.port) for _ in range(4)]
        data = frame(PING, 0, 0, bytes(8)) * 100_000
        for peer in peers:
            peer.socket.settimeout(2)
            try:
                peer.socket.sendall(data)
            except OSError:
                pass
        siege.risen(*limits(victim, "pings", "outbound_queue"))
        until_closed(peers)


# -- too much of everything


def status_of(fields):
    return dict((name.decode() if isinstance(name, bytes) else name, value) for name, value in fields).get("grpc-status")


@pytest.mark.parametrize("kind", ["claimed", "sent", "gzip bomb"])
def test_oversize_messages(kind, attacked, siege):
    target = attacked.target("rpc")
    if kind == "claimed":
        message = b"\0\xff\xff\xff\xff"
    elif kind == "sent":
        message = b"\0" + struct.pack(">I", 5 << 20)
    else:
        bomb = gzip.compress(bytes(32 << 20))
        message = b"\1" + struct.pack(">I", len(bomb)) + bomb
    more = [("grpc-encoding", "gzip")] if kind == "gzip bomb" else []
    with siege:
        for _ in siege.rounds():
            with Peer(target.port) as peer:
                path = "/grpc.testing.TestService/StreamingInputCall"
                peer.headers(1, target.fields(*more, path=path))
                for start_at in range(0, len(message), 16384):
                    peer.send(frame(DATA, 0, 1, message[start_at:start_at + 16384]))
                fields, _ = peer.answered(1)
                assert status_of(fields) == "8", fields
        siege.risen(
            'grpc_server_call_duration_seconds_count{grpc_method="grpc.testing.TestService/StreamingInputCall",'
            'grpc_status="RESOURCE_EXHAUSTED"}')


def claims(peer, target, stream, bytes_sent, path="UnaryCall"):
    """A message said to be as large as is allowed, of which so many bytes come."""
    opening = frame(HEADERS, END_HEADERS, stream, peer.block(target.fields(path=f"/grpc.testing.TestService/{path}")))
    body = b"\0" + struct.pack(">I", 4 << 20) + bytes(bytes_sent)
    return opening + b"".join(
        frame(DATA, 0, stream, body[at:at + 16384]) for at in range(0, len(body), 16384))


@pytest.mark.parametrize("path", ["UnaryCall", "StreamingInputCall"])
def test_many_large_incomplete_messages(path, attacked, siege):
    """Four connections of 64 calls each, of which each sends a mebibyte and then nothing: 256 MiB in all."""
    target = attacked.target("rpc")
    with siege:
        peers = [Peer(target.port) for _ in range(4)]
        for peer in peers:
            pushed(peer, b"".join(claims(peer, target, 2 * number + 1, 1 << 20, path) for number in range(64)))
        siege.risen(*limits(target, "request_bytes"), by=100)
        for peer in peers:
            peer.socket.close()


def test_a_request_that_stops(attacked, siege):
    """Half a message, half a call, and a whole message without an end: each ends in time, and the connection lives."""
    target = attacked.target("rpc")
    with siege:
        with Peer(target.port) as peer:
            for stream, bytes_sent, path in ((1, 100, "UnaryCall"), (3, 100, "FullDuplexCall"), (5, 40_000, "UnaryCall")):
                peer.send(claims(peer, target, stream, bytes_sent, path))
            peer.headers(7, target.fields())
            peer.send(frame(DATA, 0, 7, bytes(5)))
            statuses = {}
            while len(statuses) < 4:
                found = peer.read()
                if found.kind == HEADERS:
                    statuses[found.stream] = status_of(peer.decoder.decode(found.payload))
            assert set(statuses.values()) == {"4"}, statuses
            peer.lives()
        siege.risen(*limits(target, "request_rate"), by=4)


@pytest.mark.parametrize("fields", [
    [("x-large", "a" * 15_000), ("x-more", "b" * 15_000)], [("x-many", "1")] * 150, [("a" * 15_000, "1")] * 2,
], ids=["values", "fields", "names"])
def test_oversize_headers(fields, victim, siege):
    with siege:
        for _ in siege.rounds():
            with Peer(victim.port) as peer:
                block = peer.block(victim.fields(*fields))
                peer.send(frame(HEADERS, 0, 1, block[:16000]))
                for at in range(16000, len(block), 16000):
                    peer.send(frame(CONTINUATION, 0, 1, block[at:at + 16000]))
                peer.send(frame(CONTINUATION, END_HEADERS, 1, b""))
                peer.stream_error(1, 0xB)
        siege.risen(*limits(victim, "header_list_size"))


def test_a_path_that_nobody_registered_is_no_label(attacked, siege):
    target = attacked.target("rpc")
    with siege:
        with Peer(target.port) as peer:
            for number in range(50):
                peer.headers(2 * number + 1, target.fields(path=f"/made.up/Path{number}"), end=True)
                fields, _ = peer.answered(2 * number + 1)
                assert status_of(fields) == "12"
        assert not any("made.up" in name for name in attacked.metrics())


def test_a_storm_of_calls_without_time(attacked, siege):
    """`grpc-timeout: 1n`: over before they begin; each gets its answer, and the connection lives."""
    target = attacked.target("rpc")
    with siege:
        with Peer(target.port) as peer:
            for batch in range(40):
                ids = [2 * (50 * batch + number) + 1 for number in range(50)]
                for stream in ids:
                    peer.headers(stream, target.fields(("grpc-timeout", "1n"), path=(
                        "/grpc.testing.TestService/FullDuplexCall")))
                answered, reset = set(), set()
                # Our half of a stream is open, and the stream counts, until the server resets it.
                while len(reset) < len(ids):
                    found = peer.read()
                    if found.kind in (0, 1) and found.flags & END_STREAM:
                        answered.add(found.stream)
                    elif found.kind == RST_STREAM:
                        reset.add(found.stream)
                assert answered == reset == set(ids)
            peer.lives()
        siege.risen(
            'grpc_server_call_duration_seconds_count{grpc_method="grpc.testing.TestService/FullDuplexCall",'
            'grpc_status="DEADLINE_EXCEEDED"}')


# -- HTTP/1.1 at the edge


@pytest.mark.parametrize("head,limit", [
    (b"GET /hello HTTP/1.1\r\nHost: x\r\n", "header_timeout"),
    (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\na", "body_rate"),
], ids=["head", "body"])
def test_slowloris(head, limit, attacked, siege):
    with siege:
        connections = [socket.create_connection(("127.0.0.1", attacked.ports["http"]), timeout=60) for _ in range(200)]
        for connection in connections:
            connection.sendall(head)
        for connection in connections:
            try:
                while connection.recv(65536):
                    pass
            except ConnectionResetError:
                pass
            connection.close()
        siege.risen(f'http_limits_total{{limit="{limit}"}}')


@pytest.mark.parametrize("head,limit", [
    (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", "target_size"),
    (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"x-%d: 1\r\n" % number for number in range(5000)) + b"\r\n",
     "header_size"),
    (b"GET / HTTP/1.1\r\nHost: x\r\nx: " + b"a" * 1_000_000 + b"\r\n\r\n", "header_size"),
    (b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
     "protocol_violation"),
], ids=["target", "fields", "value", "chunk"])
def test_oversize_http1(head, limit, attacked, siege):
    with siege:
        for _ in siege.rounds():
            with socket.create_connection(("127.0.0.1", attacked.ports["http"]), timeout=60) as connection:
                try:
                    connection.sendall(head)
                except OSError:
                    pass
                answer = b""
                try:
                    while data := connection.recv(65536):
                        answer += data
                except ConnectionResetError:
                    pass
                assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 413", b"HTTP/1.1 414", b"HTTP/1.1 431")), answer[:80]
        siege.risen(f'http_limits_total{{limit="http1_{limit}"}}', by=ROUNDS)


if REPORT:
    def test_the_honest_clients_p99():
        """In the median of the times of each attack."""
        medians = [sorted(times)[len(times) // 2] for times in Siege.measured.values()]
        pathlib.Path(REPORT).write_text("".join(row for _, row in medians))
        assert medians
        too_much = [row for growth, row in medians if growth > P99_GROWTH]
        assert not too_much, "\n" + "".join(too_much)

#!/usr/bin/env python3
"""bench.Echo beside its peers: CPU of the server a call, latency, TLS, streaming, memory, growth, instructions.

Each server runs on core 0, the load on core 1; servers take turns and the median round counts. CPU time is the
process's own, from /proc. `script/bench rpc` builds what this needs.
"""

import argparse
import atexit
import json
import os
import re
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
BINARIES = os.path.join(ROOT, ".build/benchmarks/release")
PEERS = os.path.join(ROOT, ".build/benchmarks/peers")
TOO_DEAR = 3  # the exit status of a gate that closed
TICKS = os.sysconf("SC_CLK_TCK")
SERVER_CORE, CLIENT_CORE = "0", "1" if os.cpu_count() > 1 else "0"
# bench.EchoMessage of 107 bytes: text of 70 bytes, a number, 30 bytes of data.
MESSAGE = b"\x0a\x46" + b"a typical request that says something about somebody, in seventy byte." + b"\x10\xb9\x60" + b"\x1a\x1e" + bytes(30)
assert len(MESSAGE) == 107


def frame(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


class Server:
    def __init__(self, name: str, command: list[str], port: int, core: str = SERVER_CORE):
        self.name, self.port = name, port
        # Some servers share their port with whoever listens already (SO_REUSEPORT), and calls would go to both.
        if socket.socket().connect_ex(("127.0.0.1", port)) == 0:
            sys.exit(f"something listens on port {port} already")
        self.process = subprocess.Popen(
            ["taskset", "-c", core, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        atexit.register(self.stop)
        deadline = time.monotonic() + 60
        while socket.socket().connect_ex(("127.0.0.1", port)):
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{name} does not listen on port {port}")
            time.sleep(0.05)

    def cpu(self) -> float:
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self) -> int:
        with open(f"/proc/{self.process.pid}/smaps_rollup") as file:
            return int(re.search(r"Rss:\s+(\d+)", file.read())[1]) * 1024

    def stop(self):
        self.process.terminate()
        self.process.wait()


def h2load(
        port: int, request: str, connections: int, streams: int, count: int, tls: bool = False,
        headers: tuple[str, ...] = ()) -> dict:
    answer = subprocess.run(
        ["taskset", "-c", CLIENT_CORE, "h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-n{count}", "-d", request,
         "-H", "te: trailers", "-H", "content-type: application/grpc+proto",
         *(word for header in headers for word in ("-H", header)),
         f"http{'s' if tls else ''}://127.0.0.1:{port}/bench.Echo/Echo"], capture_output=True, text=True).stdout
    done = int(re.search(r"(\d+) succeeded", answer)[1])
    mean = re.search(r"time for request:\s+\S+\s+\S+\s+(\d+\.?\d*)(us|ms|s)", answer)
    if done < count:
        sys.exit(f"only {done} of {count} calls succeeded:\n{answer}")
    return {
        "rate": float(re.search(r"([\d.]+) req/s", answer)[1]), "done": done,
        "mean": float(mean[1]) * {"us": 1, "ms": 1e3, "s": 1e6}[mean[2]]}


def measure(server: Server, request: str, connections: int, streams: int, count: int, tls: bool = False) -> dict:
    h2load(server.port, request, connections, streams, max(connections * streams, count // 10), tls)  # warm
    before = server.cpu()
    result = h2load(server.port, request, connections, streams, count, tls)
    return result | {"cpu": (server.cpu() - before) * 1e6 / result["done"]}


def medians(rounds: list[dict]) -> dict:
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


class Bench:
    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.work = tempfile.mkdtemp(prefix="emailmcp-bench-")
        self.request = self.file("request", frame(MESSAGE))
        os.makedirs(f"{self.work}/www/bench.Echo")
        shutil.copy(self.request, f"{self.work}/www/bench.Echo/Echo")
        self.nghttpd = shutil.which("nghttpd") or "/usr/sbin/nghttpd"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", f"{self.work}/key.pem",
             "-out", f"{self.work}/cert.pem"], check=True, capture_output=True)

    def file(self, name: str, content: bytes) -> str:
        with open(f"{self.work}/{name}", "wb") as file:
            file.write(content)
        return f"{self.work}/{name}"

    def port(self) -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    def ours(self, *extra: str, core: str = SERVER_CORE) -> Server:
        port = self.port()
        return Server("echo-server", [f"{BINARIES}/echo-server", "--port", str(port), *extra], port, core)

    def bare(self, tls: bool = False) -> Server:
        port = self.port()
        keys = [f"{self.work}/key.pem", f"{self.work}/cert.pem"] if tls else []
        return Server("nghttpd", [
            self.nghttpd, *([] if tls else ["--no-tls"]), "-d", f"{self.work}/www", "--trailer", "grpc-status: 0",
            str(port), *keys], port)

    def peer(self, name: str, program: str) -> Server | None:
        path = f"{PEERS}/{program}"
        if not os.path.exists(path):
            return None
        port = self.port()
        return Server(name, [path, str(port)], port)

    def rounds(self, servers: list[Server], *load, **keywords) -> dict[str, dict]:
        results: dict[str, list[dict]] = {server.name: [] for server in servers}
        for _ in range(self.options.rounds):
            for server in servers:
                results[server.name].append(measure(server, *load, **keywords))
        return {name: medians(each) for name, each in results.items()}

    # MARK: Sections

    def unary(self):
        """Unary echo of 107 bytes beside nghttpd and gRPC's own runtimes."""
        servers = [self.ours(), self.bare()] + [
            server for server in (self.peer("grpc-go", "go-peer"), self.peer("grpc C++", "cpp-peer"),
                                  self.peer("grpc-swift-2", "swift-peer")) if server]
        print("| load | server | calls/s | CPU µs a call | × ours | mean latency, µs |\n| --- | --- | --- | --- | --- | --- |")
        for connections, streams, count in ((1, 1, 20_000), (10, 20, 100_000)):
            results = self.rounds(servers, self.request, connections, streams, count // self.options.divide)
            for name, each in results.items():
                print(f"| {connections} × {streams} | {name} | {each['rate']:,.0f} | {each['cpu']:.2f} "
                      f"| {each['cpu'] / results['echo-server']['cpu']:.2f} | {each['mean']:.0f} |", flush=True)
        for server in servers:
            server.stop()

    def tls(self):
        """The same by TLS 1.3, at 10 × 20."""
        servers = [self.ours("--tls", f"{self.work}/cert.pem", f"{self.work}/key.pem"), self.bare(tls=True)]
        results = self.rounds(servers, self.request, 10, 20, 100_000 // self.options.divide, tls=True)
        print("| server | calls/s | CPU µs a call |\n| --- | --- | --- |")
        for name, each in results.items():
            print(f"| {name} | {each['rate']:,.0f} | {each['cpu']:.2f} |")
        print(f"\nratio {results['echo-server']['cpu'] / results['nghttpd']['cpu']:.2f}")
        for server in servers:
            server.stop()

    def growth(self):
        """CPU µs of echo-server a call as connections and sizes grow, beside nghttpd. A row of connections has the same
        number of calls at once on each, so that as many calls share a wake-up, a read and a write."""
        server, bare = self.ours(), self.bare()
        print("| connections × streams | bytes | CPU µs a call | nghttpd | ratio |\n| --- | --- | --- | --- | --- |")
        for connections, streams in [(count, streams) for streams in (1, 10) for count in (1, 10, 100, 1000)]:
            each = self.rounds([server, bare], self.request, connections, streams, 100_000 // self.options.divide)
            ours, theirs = each["echo-server"]["cpu"], each["nghttpd"]["cpu"]
            print(f"| {connections} × {streams} | 107 | {ours:.2f} | {theirs:.2f} | {ours / theirs:.2f} |", flush=True)
        for size in (100, 1_000, 10_000):
            body = b"\x1a" + (bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])) + bytes(size)
            request = self.file(f"request-{size}", frame(body))
            each = self.rounds([server], request, 10, 20, 40_000 // self.options.divide)
            print(f"| 10 × 20 | {size} | {each['echo-server']['cpu']:.2f} | | |", flush=True)
        server.stop()
        bare.stop()

    def client(self):
        """echo-client against echo-server: client CPU a call; streams of small and of large messages."""
        server = self.ours()
        print("| mode | result |\n| --- | --- |")
        for name, arguments in (
                ("unary, 1 connection, 100 calls at once", ("--mode", "unary", "--connections", "1", "--streams", "100")),
                ("upload, 1 stream, 28-byte messages", ("--mode", "upload", "--connections", "1", "--streams", "1")),
                ("download, 1 stream, 28-byte messages", ("--mode", "download", "--connections", "1", "--streams", "1")),
                ("upload, 1 MiB messages", ("--mode", "upload", "--connections", "1", "--streams", "1", "--bytes", "1048576")),
                ("download, 1 MiB messages", ("--mode", "download", "--connections", "1", "--streams", "1", "--bytes", "1048576"))):
            before = server.cpu()
            count, line = self.call(server, "--seconds", "3", *arguments)
            print(f"| {name} | {line}, server {(server.cpu() - before) * 1e6 / count:.2f} |", flush=True)
        server.stop()

    def call(self, server: Server, *arguments: str) -> tuple[int, str]:
        """How many right answers echo-client has got, and what it says of them."""
        answer = subprocess.run(
            ["taskset", "-c", CLIENT_CORE, f"{BINARIES}/echo-client", "--target", f"ipv4:127.0.0.1:{server.port}",
             *arguments], capture_output=True, text=True)
        counted = re.search(r"s (\d+), per second", answer.stdout)
        if answer.returncode or not counted:
            sys.exit(f"echo-client {' '.join(arguments)}: {answer.stdout}{answer.stderr}")
        return int(counted[1]), ", ".join(answer.stdout.strip().splitlines())

    def try_client(self):
        """Each mode of echo-client for a second, and once by TLS: measures nothing."""
        plain = self.ours()
        secure = self.ours("--tls", f"{self.work}/cert.pem", f"{self.work}/key.pem")
        for server, *arguments in (
                (plain, "unary"), (plain, "pingpong"), (plain, "upload"), (plain, "download"),
                (secure, "unary", "--ca", f"{self.work}/cert.pem")):
            count, _ = self.call(server, "--seconds", "1", "--connections", "2", "--streams", "2", "--mode", *arguments)
            print(f"echo-client: {arguments[0]}{' by TLS' if server is secure else ''}: {count:,} right answers")
        plain.stop()
        secure.stop()

    def memory(self):
        """What idle connections and streams cost echo-server."""
        server = self.ours()
        sockets = []
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" + b"\0\0\0\4\1\0\0\0\0"
        before = server.memory()
        for _ in range(10_000):
            sockets.append(socket.create_connection(("127.0.0.1", server.port)))
            sockets[-1].sendall(preface)
        time.sleep(2)
        held = server.memory()
        alive = sum(1 for each in sockets if each.recv(9))
        print(f"{alive} idle connections: {(held - before) / len(sockets) / 1024:.1f} KiB each")
        def literal(name: bytes, value: bytes) -> bytes:
            return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
        # HEADERS without END_STREAM on a hundred streams of each of a hundred connections, as literals of HPACK.
        for used, method, state in ((sockets[:100], b"Echo", "no handler before the message"),
                                    (sockets[100:200], b"Stream", "a handler that waits in each")):
            held = server.memory()
            block = b"\x83\x86" + literal(b":path", b"/bench.Echo/" + method) + literal(b":authority", b"localhost") + \
                literal(b"te", b"trailers") + literal(b"content-type", b"application/grpc")
            for each in used:
                each.sendall(b"".join(
                    struct.pack(">I", len(block))[1:] + b"\1\4" + struct.pack(">I", 2 * number + 1) + block
                    for number in range(100)))
            time.sleep(2)
            print(f"10,000 idle streams, {state}: {(server.memory() - held) / 10_000 / 1024:.1f} KiB each")
        for each in sockets:
            each.close()
        server.stop()

    def loops(self):
        """Two loops beside one, both cores shared with the load: what is compared is calls a second of CPU time. Loops
        share nothing, so that two can answer twice as many as one, less what a call costs more."""
        print("| loops | calls/s | CPU µs a call |\n| --- | --- | --- |")
        costs = []
        for loops in (1, 2):
            server = self.ours("--loops", str(loops), core="0,1")
            each = self.rounds([server], self.request, 20, 20, 100_000 // self.options.divide)["echo-server"]
            print(f"| {loops} | {each['rate']:,.0f} | {each['cpu']:.2f} |", flush=True)
            costs.append(each["cpu"])
            server.stop()
        print(f"\ntwo loops at full load: {2 * costs[0] / costs[1]:.2f} times one")

    def instructions(self):
        """User-space instructions a call by callgrind: the same whatever else the machine does. Two runs of each server;
        their difference leaves the start out."""
        for name in ("nghttpd", "echo-server"):
            print(f"{name}: {self.count_instructions(name):,} instructions a call", flush=True)

    def gate(self, dearer: bool) -> bool:
        """Whether a call costs more than is allowed. One call after the other: how many share a turn of the loop is
        then the same on every machine and under every load."""
        with open(os.path.join(os.path.dirname(__file__), "thresholds.json")) as file:
            allowed = json.load(file)["instructions_per_unary_call"]
        headers = tuple(f"x-header-{number}: {number * 7919}" for number in range(20)) if dearer else ()
        count = self.count_instructions("echo-server", 1, 1, (300, 2_300), headers)
        print(f"echo-server: {count:,} instructions a call; allowed {allowed:,}")
        return count > allowed

    def count_instructions(
            self, name: str, connections: int = 10, streams: int = 20, counts: tuple[int, int] = (2_000, 12_000),
            headers: tuple[str, ...] = ()) -> int:
        totals = []
        for count in counts:
            port, out = self.port(), f"{self.work}/callgrind.{name}.{count}"
            command = [f"{BINARIES}/echo-server", "--port", str(port)] if name == "echo-server" else [
                self.nghttpd, "--no-tls", "-d", f"{self.work}/www", "--trailer", "grpc-status: 0", str(port)]
            server = Server(name, ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *command], port, "0,1")
            h2load(port, self.request, connections, streams, count, headers=headers)
            server.stop()
            with open(out) as file:
                totals.append(int(re.search(r"^totals: (\d+)", file.read(), re.M)[1]))
        return (totals[1] - totals[0]) // (counts[1] - counts[0])


def main():
    sections = ["unary", "tls", "growth", "client", "memory", "loops", "instructions"]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each server, in turn")
    parser.add_argument("--divide", type=int, default=1, help="so many times fewer calls in a measurement")
    parser.add_argument("--only", choices=sections, action="append")
    parser.add_argument("--gate", action="store_true", help="only count instructions; fail above thresholds.json")
    parser.add_argument("--try", dest="attempt", action="store_true", help="only see whether echo-client works in each mode")
    parser.add_argument("--dearer", action="store_true", help="with --gate: calls that must fail it")
    options = parser.parse_args()
    bench = Bench(options)
    try:
        if options.attempt:
            return bench.try_client()
        if options.gate:
            sys.exit(TOO_DEAR if bench.gate(options.dearer) else 0)
        for section in options.only or sections:
            print(f"\n### {section}: {getattr(bench, section).__doc__}\n", flush=True)
            getattr(bench, section)()
    finally:
        shutil.rmtree(bench.work)


if __name__ == "__main__":
    main()

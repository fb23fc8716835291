"""A TCP proxy that does to its connections what networks do, drawn from a seed: cut after some bytes, reset, half-close,
trickle, delay, fall silent, each in either direction. It knows no protocol.
"""

import ctypes
import random
import socket
import struct
import threading
import time
from typing import Callable

# Each where bytes go to the server and where they come from it.
KINDS = tuple(
    (kind, way) for kind in ("cut", "reset", "half_close", "trickle", "delay", "silence") for way in ("to", "from"))

# For how long, in seconds, bytes are kept back that are delivered after all.
LONGEST_HELD = 1.0
# And how long both ends are left to believe in each other.
SILENT_FOR = 3.0


class FaultProxy:
    """Forwards 127.0.0.1:`port` to `target`. `probability`: the share of connections that something happens to, `hits`:
    how often each kind did."""

    def __init__(self, target: tuple[str, int], seed: int):
        self.target, self.probability, self.hits = target, 0.0, {kind: 0 for kind in KINDS}
        self._random = random.Random(seed)
        self._deck: list[tuple[str, str]] = []
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def server_ports(self) -> list[int]:
        """Of the open connections: this end's ports on the target's side."""
        with self._lock:
            return [server.getsockname()[1] for server in self._open]

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _draw(self) -> tuple[str | None, str, int]:
        """What happens, in which direction, and after how many bytes of it. From a shuffled deck, so that every kind
        has its turn however few connections there are."""
        with self._lock:
            if self._random.random() >= self.probability:
                return None, "to", 0
            if not self._deck:
                self._deck = self._random.sample(KINDS, len(KINDS))
            return *self._deck.pop(), int(10 ** self._random.uniform(0, 4))

    def _hit(self, kind: str, way: str) -> None:
        with self._lock:
            self.hits[kind, way] += 1

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self.target, 5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        for side in (client, server):
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        kind, way, after = self._draw()
        ways = [(client, server, kind if way == "to" else None), (server, client, kind if way == "from" else None)]
        pumps = [
            threading.Thread(target=_pump, args=(*ends, after, lambda: self._hit(kind, way)), daemon=True)
            for ends in ways]
        with self._lock:
            self._open.add(server)
        for pump in pumps:
            pump.start()
        for pump in pumps:
            pump.join()
        with self._lock:
            self._open.remove(server)
        client.close()
        server.close()


def _reset(side: socket.socket) -> None:
    """Sends RST at once. Not close(): the other way's thread still waits on the descriptor."""
    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # connect() to AF_UNSPEC dissolves the connection.
    ctypes.CDLL(None).connect(side.fileno(), bytes(16), 16)


def _pump(
        source: socket.socket, sink: socket.socket, kind: str | None, after: int, happens: Callable[[], None]) -> None:
    """Carries bytes one way; `kind` happens when `after` bytes have passed and there are more."""
    passed = 0
    try:
        while data := source.recv(65536):
            if kind and passed + len(data) > after:
                sink.sendall(data[:after - passed])
                data = data[after - passed:]
                happens()
                if kind == "cut":
                    break
                if kind == "silence":
                    # Both ends believe that the other is there, for a while.
                    time.sleep(SILENT_FOR)
                if kind in ("reset", "silence"):
                    _reset(source)
                    _reset(sink)
                    return
                if kind == "half_close":
                    sink.shutdown(socket.SHUT_WR)
                    return
                if kind == "delay":
                    time.sleep(0.5)
                if kind == "trickle":
                    # By the clock: on a busy machine a sleep is longer.
                    until = time.monotonic() + 0.4
                    while data and time.monotonic() < until:
                        sink.sendall(data[:1])
                        data = data[1:]
                        time.sleep(0.005)
                after, kind = 0, None
            passed += len(data)
            sink.sendall(data)
    except OSError:
        pass
    for side in (source, sink):
        try:
            side.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

"""A TCP proxy that does to its connections what networks do, drawn from a seed: cut after some bytes, reset, half-close,
trickle, delay. It knows no protocol.
"""

import random
import socket
import struct
import threading
import time

KINDS = ("cut", "reset", "half_close", "trickle", "delay")


class FaultProxy:
    """Forwards 127.0.0.1:`port` to `target`. `probability`: the share of connections that something happens to."""

    def __init__(self, target: tuple[str, int], seed: int):
        self.target, self.probability, self.hits = target, 0.0, {kind: 0 for kind in KINDS}
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _draw(self) -> tuple[str | None, int, bool]:
        """What happens, after how many bytes, and whether these count towards the server or from it."""
        with self._lock:
            if self._random.random() >= self.probability:
                return None, 0, True
            kind = self._random.choice(KINDS)
            self.hits[kind] += 1
            return kind, int(10 ** self._random.uniform(0, 4)), self._random.random() < 0.5

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self.target, 5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        for side in (client, server):
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        kind, after, upstream = self._draw()
        ways = [(client, server, kind if upstream else None), (server, client, None if upstream else kind)]
        pumps = [threading.Thread(target=_pump, args=(*way, after), daemon=True) for way in ways]
        for pump in pumps:
            pump.start()
        for pump in pumps:
            pump.join()
        client.close()
        server.close()


def _pump(source: socket.socket, sink: socket.socket, kind: str | None, after: int) -> None:
    """Carries bytes one way; `kind` happens when `after` bytes have passed."""
    passed = 0
    try:
        while data := source.recv(65536):
            if kind and passed + len(data) > after:
                sink.sendall(data[:after - passed])
                data = data[after - passed:]
                if kind == "cut":
                    break
                if kind == "reset":
                    for side in (source, sink):
                        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    # Not close(): the other way's thread still waits on the descriptor.
                    source.shutdown(socket.SHUT_RDWR)
                    sink.shutdown(socket.SHUT_RDWR)
                    return
                if kind == "half_close":
                    sink.shutdown(socket.SHUT_WR)
                    return
                if kind == "delay":
                    time.sleep(0.5)
                if kind == "trickle":
                    for byte in data[:64]:
                        sink.sendall(bytes([byte]))
                        time.sleep(0.005)
                    data = data[64:]
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

"""The fault proxy does what its faults are called: each kind, each way, after exactly as many bytes as were drawn."""

import socket
import time

import pytest

import fault_proxy
from fault_proxy import KINDS, FaultProxy

AFTER, BYTES = 100, bytes(range(250)) * 4


class Certain(FaultProxy):
    """The same fault for every connection."""

    def __init__(self, target: tuple[str, int], kind: str, way: str):
        super().__init__(target, seed=1)
        self.fault = (kind, way, AFTER)

    def _draw(self):
        return self.fault


def read(side: socket.socket, count: int) -> tuple[bytes, str]:
    """Up to so many bytes, and how it ended: whole, end, reset."""
    got = b""
    try:
        while len(got) < count:
            if not (data := side.recv(count - len(got))):
                return got, "end"
            got += data
    except ConnectionError:
        return got, "reset"
    return got, "whole"


@pytest.fixture(params=KINDS, ids=" ".join)
def fault(request, monkeypatch):
    """The kind, the end that sends through the fault, the one that it is sent to, and the proxy."""
    monkeypatch.setattr(fault_proxy, "SILENT_FOR", 0.2)
    kind, way = request.param
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Certain(listener.getsockname(), kind, way)
        with socket.create_connection(("127.0.0.1", proxy.port)) as client:
            server, _ = listener.accept()
            with server:
                for side in (client, server):
                    side.settimeout(10)
                yield kind, *((client, server) if way == "to" else (server, client)), proxy
        proxy.close()


def test_each_fault_is_what_it_is_called(fault):
    kind, source, sink, proxy = fault
    assert not any(proxy.hits.values())
    began = time.monotonic()
    source.sendall(BYTES)
    got, end = read(sink, len(BYTES))
    took = time.monotonic() - began
    assert sum(proxy.hits.values()) == proxy.hits[kind, proxy.fault[1]] == 1
    if kind in ("trickle", "delay"):
        assert (got, end) == (BYTES, "whole")
        assert 0.3 <= took <= fault_proxy.LONGEST_HELD
    else:
        assert got == BYTES[:AFTER]
        assert end == ("reset" if kind in ("reset", "silence") else "end")
        assert took >= (0.2 if kind == "silence" else 0)
    # The other way.
    if kind in ("trickle", "delay", "half_close"):
        sink.sendall(BYTES)
        assert read(source, len(BYTES)) == (BYTES, "whole")
    else:
        assert read(source, 1) == (b"", "end" if kind == "cut" else "reset")


def test_what_ends_before_its_fault_was_not_hit():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Certain(listener.getsockname(), "cut", "to")
        with socket.create_connection(("127.0.0.1", proxy.port)) as client:
            server, _ = listener.accept()
            client.sendall(BYTES[:AFTER])
            assert read(server, AFTER) == (BYTES[:AFTER], "whole")
            server.sendall(BYTES)
            assert read(client, len(BYTES)) == (BYTES, "whole")
            server.close()
        proxy.close()
    assert not any(proxy.hits.values())


def test_every_kind_has_its_turn_and_no_other_connection_is_touched():
    proxy = FaultProxy(("127.0.0.1", 1), seed=2)
    assert {proxy._draw()[0] for _ in range(100)} == {None}
    proxy.probability = 1
    drawn = [proxy._draw() for _ in range(2 * len(KINDS))]
    assert sorted(fault[:2] for fault in drawn) == sorted(KINDS * 2)
    assert all(1 <= after <= 10_000 for _, _, after in drawn)
    proxy.close()

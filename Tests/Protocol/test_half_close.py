"""Clients that end their side of the connection after what they have asked: it says that they are gone, or only that they
send no more."""

import socket

from peer import DATA, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, Closed, Peer, frame, settings, window_update
from test_attacks import LARGE, large, status_of


def frames_to_the_end(peer):
    peer.socket.shutdown(socket.SHUT_WR)
    try:
        while True:
            yield peer.read()
    except Closed:
        return


def test_answers_that_are_ready(target):
    """More of them than the socket takes at once."""
    with Peer(target.port, first_settings=settings((INITIAL_WINDOW_SIZE, 0x7FFF_FFFF))) as peer:
        peer.send(window_update(0, 0x7FFF_0000))
        for stream in (1, 3, 5, 7):
            peer.headers(stream, large(target))
            peer.send(frame(DATA, END_STREAM, stream, LARGE))
        peer.answered(1)
        for _ in frames_to_the_end(peer):
            pass
        sizes = dict.fromkeys((1, 3, 5, 7), 0)
        for found in peer.frames:
            if found.kind == DATA:
                sizes[found.stream] += len(found.payload)
        assert sizes[1] > 0 and set(sizes.values()) == {sizes[1]}, sizes


def test_a_call_that_is_under_way_is_cancelled_and_says_so(server):
    target = server.target("rpc")
    with Peer(target.port) as peer:
        peer.headers(1, target.fields(path="/grpc.testing.TestService/FullDuplexCall"))
        peer.lives()
        ends = [found for found in frames_to_the_end(peer) if found.kind == HEADERS]
        assert [status_of(peer.decoder.decode(found.payload)) for found in ends] == ["1"]

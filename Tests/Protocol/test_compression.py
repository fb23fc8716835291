"""Compressed answers as they stand on the wire: flag, length, bytes that gzip reads."""

import gzip
import struct

import pytest
from peer import DATA, END_STREAM, Peer, frame

# SimpleRequest { response_size: 5000 response_compressed { value: true } }, and { value: false }.
WISHES = {True: b"\x10\x88\x27\x32\x02\x08\x01", False: b"\x10\x88\x27\x32\x00"}
# SimpleResponse { payload { body: 5000 zeros } }.
ANSWER = b"\x0a\x8b\x27\x12\x88\x27" + bytes(5000)


def ask(server, wish, *fields):
    target = server.target("rpc")
    with Peer(target.port) as peer:
        peer.headers(1, target.fields(*fields, path="/grpc.testing.TestService/UnaryCall"))
        message = WISHES[wish]
        peer.send(frame(DATA, END_STREAM, 1, b"\0" + struct.pack(">I", len(message)) + message))
        fields, body = peer.answered(1)
    flag, length = struct.unpack_from(">BI", body)
    assert length == len(body) - 5
    return dict(fields).get("grpc-encoding"), flag, body[5:]


@pytest.mark.parametrize("accepted", ["gzip", "identity,deflate, gzip"])
def test_who_takes_gzip_gets_gzip(server, accepted):
    encoding, flag, message = ask(server, True, ("grpc-accept-encoding", accepted))
    assert (encoding, flag) == ("gzip", 1)
    assert len(message) < 500 and gzip.decompress(message) == ANSWER


@pytest.mark.parametrize("wish,fields", [
    (False, [("grpc-accept-encoding", "gzip")]), (True, []), (True, [("grpc-accept-encoding", "identity,deflate")]),
], ids=["not wished", "nothing accepted", "another accepted"])
def test_others_get_it_plain(server, wish, fields):
    encoding, flag, message = ask(server, wish, *fields)
    assert encoding in (None, "identity") and (flag, message) == (0, ANSWER)

"""RFC 9113 and RFC 7541, section by section, at the RPC server and at the edge's HTTP server.

Each case is a function of a fresh connection and the server, named by its section; its docstring is the rule.
"""

import struct

import pytest
from peer import (
    ACK, COMPRESSION_ERROR, CONTINUATION, DATA, ENABLE_PUSH, END_HEADERS, END_STREAM,
    FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, NO_ERROR, PADDED, PING,
    PREFACE, PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE, REFUSED_STREAM, RST_STREAM, SETTINGS, STREAM_CLOSED,
    WINDOW_UPDATE, WITH_PRIORITY, Closed, Peer, frame, priority, rst_stream, settings, window_update)

# An empty message of gRPC; any body at all for the HTTP server.
BODY = bytes(5)

CASES = []


def case(function):
    CASES.append(function)
    return function


def request(peer, target, stream=1, *more, body=BODY):
    """A whole request."""
    peer.headers(stream, target.fields(*more))
    peer.send(frame(DATA, END_STREAM, stream, body))


def opened(peer, target, stream=1):
    """A request whose body has not come."""
    peer.headers(stream, target.fields())


def late_data(peer, stream=1):
    """DATA on a stream whose other half is closed: STREAM_CLOSED while the stream lives. After that nghttp2 has forgotten
    it and passes the bytes over, as section 5.1 wants for what may still be under way; the connection goes on."""
    peer.send(frame(DATA, END_STREAM, stream, b"test") + frame(PING, payload=b"are you?"))
    while True:
        found = peer.read()
        if found.kind in (GOAWAY, RST_STREAM) and found.code != NO_ERROR:
            assert found.code == STREAM_CLOSED, found
            return
        if found.kind == PING:
            return


def fails(peer, stream, *codes):
    peer.stream_error(stream, *codes)


# -- RFC 9113, 3.4: the connection preface


@pytest.mark.parametrize("garbage", [b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"\x16\x03\x01" + bytes(64) + b"\r\n\r\n"])
def test_3_4_an_invalid_preface_ends_the_connection(target, garbage):
    with Peer(target.port, hello=False) as peer:
        peer.send(garbage)
        try:
            while peer.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass


def test_3_4_the_server_begins_with_settings(target):
    with Peer(target.port, hello=False) as peer:
        peer.send(PREFACE + settings())
        first = peer.read()
        assert first.kind == SETTINGS and not first.flags & ACK and first.stream == 0


def test_3_4_the_first_frame_of_a_client_is_settings(target):
    with Peer(target.port, hello=False) as peer:
        peer.send(PREFACE + frame(PING, payload=bytes(8)))
        peer.connection_error(PROTOCOL_ERROR, or_just_close=True)


# -- 4: frames


@case
def s4_1_unknown_frame_types_are_ignored(peer, target):
    peer.send(frame(0x16, 0xFF, 0, b"\0" * 8))
    peer.lives()


@case
def s4_1_undefined_flags_are_ignored(peer, target):
    peer.send(frame(PING, 0x16, 0, bytes(8)))
    peer.until(lambda f: f.kind == PING and f.flags & ACK)


@case
def s4_1_the_reserved_bit_is_ignored(peer, target):
    peer.send(frame(PING, 0, 1 << 31, bytes(8)))
    peer.until(lambda f: f.kind == PING and f.flags & ACK)


@case
def s4_2_data_of_16384_bytes_is_taken(peer, target):
    opened(peer, target)
    body = (b"\0" + struct.pack(">I", 16379)) + bytes(16379)
    peer.send(frame(DATA, END_STREAM, 1, body))
    peer.answered(1)


@case
def s4_2_data_above_the_frame_size_is_an_error(peer, target):
    opened(peer, target)
    peer.send(frame(DATA, END_STREAM, 1, bytes(16385)))
    fails(peer, 1, FRAME_SIZE_ERROR)


@case
def s4_2_headers_above_the_frame_size_end_the_connection(peer, target):
    peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, bytes(16385)))
    peer.connection_error(FRAME_SIZE_ERROR)


@case
def s4_3_an_invalid_field_block_is_a_compression_error(peer, target):
    peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"))
    peer.connection_error(COMPRESSION_ERROR)


@case
def s4_3_nothing_comes_between_headers_and_continuation(peer, target):
    peer.headers(1, target.fields(), done=False)
    peer.send(priority(1) + frame(CONTINUATION, END_HEADERS, 1))
    peer.connection_error(PROTOCOL_ERROR)


@case
def s4_3_no_other_stream_between_headers_and_continuation(peer, target):
    peer.headers(1, target.fields(), done=False)
    peer.headers(3, target.fields(), end=True)
    peer.connection_error(PROTOCOL_ERROR)


# -- 5.1: stream states


@case
def s5_1_idle_data(peer, target):
    peer.send(frame(DATA, END_STREAM, 1, b"test"))
    peer.connection_error(PROTOCOL_ERROR, STREAM_CLOSED)


@case
def s5_1_idle_rst_stream(peer, target):
    peer.send(rst_stream(1))
    peer.connection_error(PROTOCOL_ERROR)


@case
def s5_1_idle_window_update(peer, target):
    peer.send(window_update(1, 100))
    peer.connection_error(PROTOCOL_ERROR)


@case
def s5_1_idle_continuation(peer, target):
    peer.send(frame(CONTINUATION, END_HEADERS, 1, peer.block(target.fields())))
    peer.connection_error(PROTOCOL_ERROR)


@case
def s5_1_idle_priority_is_fine(peer, target):
    peer.send(priority(1))
    request(peer, target)
    peer.answered(1)


@case
def s5_1_half_closed_data(peer, target):
    peer.headers(1, target.fields(), end=True)
    late_data(peer)


@case
def s5_1_half_closed_headers(peer, target):
    peer.headers(1, target.fields(), end=True)
    peer.headers(1, [("x-late", "1")], end=True)
    fails(peer, 1, STREAM_CLOSED, PROTOCOL_ERROR)


@case
def s5_1_half_closed_continuation(peer, target):
    peer.headers(1, target.fields(), end=True)
    peer.send(frame(CONTINUATION, END_HEADERS, 1, b""))
    peer.connection_error(PROTOCOL_ERROR, STREAM_CLOSED)


@case
def s5_1_half_closed_window_update_priority_and_rst_are_fine(peer, target):
    peer.send(settings((INITIAL_WINDOW_SIZE, 0)))
    request(peer, target)
    peer.send(window_update(1, 1 << 20) + priority(1) + rst_stream(1))
    peer.lives()


@case
def s5_1_closed_by_reset_data(peer, target):
    opened(peer, target)
    peer.send(rst_stream(1))
    late_data(peer)


@case
def s5_1_closed_by_reset_headers(peer, target):
    opened(peer, target)
    peer.send(rst_stream(1))
    peer.headers(1, target.fields(), end=True)
    fails(peer, 1, STREAM_CLOSED)


@case
def s5_1_closed_by_reset_continuation(peer, target):
    opened(peer, target)
    peer.send(rst_stream(1) + frame(CONTINUATION, END_HEADERS, 1, b""))
    peer.connection_error(STREAM_CLOSED, PROTOCOL_ERROR)


@case
def s5_1_closed_data(peer, target):
    request(peer, target)
    peer.answered(1)
    late_data(peer)


@case
def s5_1_closed_headers(peer, target):
    request(peer, target)
    peer.answered(1)
    peer.headers(1, target.fields(), end=True)
    peer.connection_error(STREAM_CLOSED, PROTOCOL_ERROR)


@case
def s5_1_closed_continuation(peer, target):
    request(peer, target)
    peer.answered(1)
    peer.send(frame(CONTINUATION, END_HEADERS, 1, b""))
    peer.connection_error(STREAM_CLOSED, PROTOCOL_ERROR)


@case
def s5_1_closed_priority_window_update_and_rst_are_fine(peer, target):
    request(peer, target)
    peer.answered(1)
    peer.send(priority(1) + window_update(1, 10) + rst_stream(1))
    peer.lives()


@case
def s5_1_1_even_streams_are_not_a_clients(peer, target):
    peer.headers(2, target.fields(), end=True)
    peer.connection_error(PROTOCOL_ERROR)


@case
def s5_1_1_stream_ids_only_grow(peer, target):
    opened(peer, target, 5)
    peer.headers(3, target.fields(), end=True)
    peer.connection_error(PROTOCOL_ERROR)


@case
def s5_1_1_a_skipped_stream_is_closed_for_good(peer, target):
    request(peer, target, 5)
    peer.answered(5)
    peer.headers(3, target.fields(), end=True)
    peer.connection_error(PROTOCOL_ERROR)


@case
def s5_1_2_more_streams_than_announced(peer, target):
    announced = [f for f in peer.frames if f.kind == SETTINGS and not f.flags & ACK][0].payload
    values = {announced[i:i + 2]: announced[i + 2:i + 6] for i in range(0, len(announced), 6)}
    limit = int.from_bytes(values[b"\0\3"], "big")
    for number in range(limit + 1):
        opened(peer, target, 2 * number + 1)
    fails(peer, 2 * limit + 1, REFUSED_STREAM, PROTOCOL_ERROR)


@case
def s5_3_priorities_may_depend_on_anything(peer, target):
    peer.send(priority(3, depends_on=1, weight=255) + priority(1, exclusive=True))
    block = peer.block(target.fields())
    peer.send(frame(HEADERS, END_HEADERS | WITH_PRIORITY, 1, struct.pack(">IB", 0, 200) + block))
    peer.send(frame(DATA, END_STREAM, 1, BODY))
    peer.answered(1)


@case
def s5_3_1_a_priority_frame_that_depends_on_itself_is_passed_over(peer, target):
    """RFC 7540 section 5.3.1 made a stream error of it, which h2spec expects. RFC 9113 section 5.3 has done away with
    the scheme, and our first SETTINGS say that we take no part in it (NO_RFC7540_PRIORITIES, RFC 9218)."""
    assert struct.pack(">HI", 9, 1) in peer.frames[0].payload
    peer.send(priority(1, depends_on=1))
    request(peer, target)
    peer.answered(1)
    peer.send(priority(3, depends_on=3))
    request(peer, target, 3)
    peer.answered(3)


@case
def s5_3_1_headers_that_depend_on_themselves_are_an_error(peer, target):
    """Nobody reads these five bytes of HEADERS either (RFC 9113 section 6.2). libnghttp2 still ends the connection for
    them, as RFC 7540 allows, and no honest client is hurt by it."""
    block = peer.block(target.fields())
    peer.send(frame(HEADERS, END_HEADERS | END_STREAM | WITH_PRIORITY, 1, struct.pack(">IB", 1, 15) + block))
    fails(peer, 1, PROTOCOL_ERROR)


@case
def s5_4_1_after_a_connection_error_comes_goaway_and_the_end(peer, target):
    peer.send(frame(PING, 0, 0, bytes(6)))
    peer.connection_error(FRAME_SIZE_ERROR)
    assert peer.frames[-1].kind == GOAWAY and peer.is_closed


@case
def s5_5_extension_frames_are_ignored(peer, target):
    opened(peer, target)
    peer.send(frame(0x7B, 0, 1, b"what is this") + frame(DATA, END_STREAM, 1, BODY))
    peer.answered(1)


@case
def s5_5_extension_frames_inside_a_field_block_are_an_error(peer, target):
    peer.headers(1, target.fields(), done=False)
    peer.send(frame(0x7B, 0, 0, bytes(8)))
    peer.connection_error(PROTOCOL_ERROR)


# -- 6.1 DATA


@case
def s6_1_data_on_stream_0(peer, target):
    peer.send(frame(DATA, END_STREAM, 0, b"test"))
    peer.connection_error(PROTOCOL_ERROR)


@case
def s6_1_data_with_padding(peer, target):
    opened(peer, target)
    peer.send(frame(DATA, END_STREAM | PADDED, 1, b"\x06" + BODY + bytes(6)))
    peer.answered(1)


@case
def s6_1_padding_longer_than_the_frame(peer, target):
    opened(peer, target)
    peer.send(frame(DATA, END_STREAM | PADDED, 1, b"\x06Test"))
    peer.connection_error(PROTOCOL_ERROR)


@case
def s6_1_data_after_the_end(peer, target):
    request(peer, target)
    late_data(peer)


@case
def s6_1_several_data_frames(peer, target):
    opened(peer, target)
    for byte in BODY[:-1]:
        peer.send(frame(DATA, 0, 1, bytes([byte])))
    peer.send(frame(DATA, END_STREAM, 1, BODY[-1:]))
    peer.answered(1)


# -- 6.2 HEADERS


@case
def s6_2_headers_on_stream_0(peer, target):
    peer.headers(0, target.fields(), end=True)
    peer.connection_error(PROTOCOL_ERROR)


@case
def s6_2_headers_with_padding(peer, target):
    peer.send(frame(HEADERS, END_HEADERS | PADDED, 1, b"\x04" + peer.block(target.fields()) + bytes(4)))
    peer.send(frame(DATA, END_STREAM, 1, BODY))
    peer.answered(1)


@case
def s6_2_padding_longer_than_the_frame(peer, target):
    block = peer.block(target.fields())
    peer.send(frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, bytes([len(block) + 1]) + block))
    peer.connection_error(PROTOCOL_ERROR)


# -- 6.3 PRIORITY, 6.4 RST_STREAM


@case
def s6_3_priority_on_stream_0(peer, target):
    peer.send(priority(0))
    peer.connection_error(PROTOCOL_ERROR)


@case
def s6_3_priority_of_another_length(peer, target):
    opened(peer, target)
    peer.send(frame(PRIORITY, 0, 1, bytes(4)))
    fails(peer, 1, FRAME_SIZE_ERROR)


@case
def s6_4_rst_stream_on_stream_0(peer, target):
    peer.send(rst_stream(0))
    peer.connection_error(PROTOCOL_ERROR)


@case
def s6_4_rst_stream_of_another_length(peer, target):
    opened(peer, target)
    peer.send(frame(RST_STREAM, 0, 1, bytes(3)))
    peer.connection_error(FRAME_SIZE_ERROR)


@case
def s6_4_rst_stream_ends_the_stream_alone(peer, target):
    opened(peer, target)
    peer.send(rst_stream(1))
    request(peer, target, 3)
    peer.answered(3)


# -- 6.5 SETTINGS


@case
def s6_5_an_acknowledgement_carries_nothing(peer, target):
    peer.send(frame(SETTINGS, ACK, 0, bytes(1)))
    peer.connection_error(FRAME_SIZE_ERROR)


@case
def s6_5_settings_belong_to_the_connection(peer, target):
    peer.send(frame(SETTINGS, 0, 1, struct.pack(">HI", 3, 100)))
    peer.connection_error(PROTOCOL_ERROR)


@case
def s6_5_settings_are_of_six_bytes(peer, target):
    peer.send(frame(SETTINGS, 0, 0, bytes(3)))
    peer.connection_error(FRAME_SIZE_ERROR)


def invalid_setting(number, value, code, name):
    def run(peer, target):
        peer.send(settings((number, value)))
        peer.connection_error(code)

    run.__name__ = name
    case(run)


invalid_setting(ENABLE_PUSH, 2, PROTOCOL_ERROR, "s6_5_2_enable_push_is_0_or_1")
invalid_setting(INITIAL_WINDOW_SIZE, 1 << 31, FLOW_CONTROL_ERROR, "s6_5_2_windows_end_at_2_31")
invalid_setting(MAX_FRAME_SIZE, 16383, PROTOCOL_ERROR, "s6_5_2_frames_begin_at_16384")
invalid_setting(MAX_FRAME_SIZE, 1 << 24, PROTOCOL_ERROR, "s6_5_2_frames_end_at_2_24")


@case
def s6_5_2_unknown_settings_are_ignored(peer, target):
    peer.send(settings((0xFF, 1)))
    peer.lives()


@case
def s6_5_3_the_last_of_several_values_counts(peer, target):
    peer.send(settings((INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)))
    request(peer, large(target))
    assert len(peer.until(lambda f: f.kind == DATA).payload) == 1


@case
def s6_5_3_settings_are_acknowledged(peer, target):
    peer.send(settings((INITIAL_WINDOW_SIZE, 100)))
    peer.until(lambda f: f.kind == SETTINGS and f.flags & ACK)


# -- 6.6 PUSH_PROMISE, 6.7 PING, 6.8 GOAWAY


@case
def s6_6_a_client_promises_nothing(peer, target):
    opened(peer, target)
    peer.send(frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack(">I", 2) + peer.block(target.fields())))
    peer.connection_error(PROTOCOL_ERROR)


@case
def s6_7_ping_comes_back(peer, target):
    peer.send(frame(PING, 0, 0, b"\1\2\3\4\5\6\7\x08"))
    assert peer.until(lambda f: f.kind == PING and f.flags & ACK).payload == b"\1\2\3\4\5\6\7\x08"


@case
def s6_7_an_acknowledgement_is_not_answered(peer, target):
    peer.send(frame(PING, ACK, 0, b"notasked"))
    peer.lives()
    assert not any(f.kind == PING and f.payload == b"notasked" for f in peer.frames)


@case
def s6_7_ping_belongs_to_the_connection(peer, target):
    peer.send(frame(PING, 0, 1, bytes(8)))
    peer.connection_error(PROTOCOL_ERROR)


@case
def s6_7_ping_is_of_eight_bytes(peer, target):
    peer.send(frame(PING, 0, 0, bytes(6)))
    peer.connection_error(FRAME_SIZE_ERROR)


@case
def s6_8_goaway_belongs_to_the_connection(peer, target):
    peer.send(frame(GOAWAY, 0, 1, bytes(8)))
    peer.connection_error(PROTOCOL_ERROR)


@case
def s6_8_after_goaway_open_streams_finish(peer, target):
    opened(peer, target)
    peer.send(frame(GOAWAY, 0, 0, bytes(8)) + frame(DATA, END_STREAM, 1, BODY))
    peer.answered(1)


# -- 6.9 WINDOW_UPDATE


def large(target):
    """A request that is answered with more than 60,000 bytes."""
    changed = type(target)(**vars(target))
    changed.path = "/grpc.testing.TestService/UnaryCall" if target.name == "rpc" else "/large"
    return changed


# SimpleRequest { response_size: 60000 } behind its prefix; the HTTP server does not look at it.
LARGE = b"\0\0\0\0\x04\x10\xe0\xd4\x03"


@case
def s6_9_an_increment_of_0_on_the_connection(peer, target):
    peer.send(window_update(0, 0))
    peer.connection_error(PROTOCOL_ERROR)


@case
def s6_9_an_increment_of_0_on_a_stream(peer, target):
    opened(peer, target)
    peer.send(window_update(1, 0))
    fails(peer, 1, PROTOCOL_ERROR)


@case
def s6_9_window_update_is_of_four_bytes(peer, target):
    peer.send(frame(WINDOW_UPDATE, 0, 0, bytes(3)))
    peer.connection_error(FRAME_SIZE_ERROR)


@case
def s6_9_1_data_keeps_within_the_window(peer, target):
    peer.send(settings((INITIAL_WINDOW_SIZE, 1)))
    request(peer, large(target), body=LARGE)
    assert len(peer.until(lambda f: f.kind == DATA).payload) == 1
    peer.lives()
    assert sum(len(f.payload) for f in peer.frames if f.kind == DATA) == 1


@case
def s6_9_1_the_connections_window_ends_at_2_31(peer, target):
    peer.send(window_update(0, (1 << 31) - 1) + window_update(0, (1 << 31) - 1))
    peer.connection_error(FLOW_CONTROL_ERROR)


@case
def s6_9_1_a_streams_window_ends_at_2_31(peer, target):
    opened(peer, target)
    peer.send(window_update(1, (1 << 31) - 1) + window_update(1, (1 << 31) - 1))
    fails(peer, 1, FLOW_CONTROL_ERROR)


@case
def s6_9_2_a_new_initial_window_counts_for_open_streams(peer, target):
    peer.send(settings((INITIAL_WINDOW_SIZE, 0)))
    request(peer, large(target), body=LARGE)
    peer.until(lambda f: f.kind == HEADERS)
    peer.send(settings((INITIAL_WINDOW_SIZE, 1)))
    assert len(peer.until(lambda f: f.kind == DATA).payload) == 1


@case
def s6_9_2_a_window_may_become_negative(peer, target):
    peer.send(settings((INITIAL_WINDOW_SIZE, 3)))
    request(peer, large(target), body=LARGE)
    assert len(peer.until(lambda f: f.kind == DATA).payload) == 3
    peer.send(settings((INITIAL_WINDOW_SIZE, 2)) + window_update(1, 2))  # −1 + 2
    assert len(peer.until(lambda f: f.kind == DATA).payload) == 1


@case
def s6_9_2_a_settings_frame_may_not_overflow_a_window(peer, target):
    """nghttp2 ends the stream, where the rule is to end the connection; the window does not overflow either way."""
    opened(peer, target)
    peer.send(window_update(1, (1 << 31) - 1 - 65535) + settings((INITIAL_WINDOW_SIZE, (1 << 31) - 1)))
    fails(peer, 1, FLOW_CONTROL_ERROR)


@case
def s6_9_our_windows_are_enforced(peer, target):
    """A peer that sends more than we allowed is stopped: nobody reads this call's body."""
    announced = [f for f in peer.frames if f.kind == SETTINGS and not f.flags & ACK][0].payload
    values = {announced[i:i + 2]: announced[i + 2:i + 6] for i in range(0, len(announced), 6)}
    window = int.from_bytes(values[b"\0\4"], "big")
    path = "/grpc.testing.TestService/EmptyCall" if target.name == "rpc" else "/hello"
    peer.headers(1, target.fields(path=path))
    left = window + 1
    while left > 0:
        # Frames of a message that never ends, or of a body that nobody asked for.
        size = min(left, 16384)
        chunk = (b"\0\0\x3f\xff\xff" if left == window + 1 else b"") + bytes(size)
        peer.send(frame(DATA, 0, 1, chunk[:size]))
        left -= size
    if target.name == "http":
        return peer.lives()  # the answer is there: what follows is thrown away within the window
    try:
        while True:
            found = peer.read()
            if found.kind in (RST_STREAM, GOAWAY):
                assert found.code in (FLOW_CONTROL_ERROR, NO_ERROR)
                return
            if found.kind == WINDOW_UPDATE:
                return  # the bytes were taken into the message, which has room
    except Closed:
        raise AssertionError("closed without a word") from None


# -- 6.10 CONTINUATION


@case
def s6_10_several_continuations(peer, target):
    block = peer.block(target.fields())
    peer.send(frame(HEADERS, 0, 1, block[:5]))
    for index in range(5, 10):
        peer.send(frame(CONTINUATION, 0, 1, block[index:index + 1]))
    peer.send(frame(CONTINUATION, END_HEADERS, 1, block[10:]) + frame(DATA, END_STREAM, 1, BODY))
    peer.answered(1)


@case
def s6_10_data_between(peer, target):
    peer.headers(1, target.fields(), done=False)
    peer.send(frame(CONTINUATION, 0, 1, b"") + frame(DATA, END_STREAM, 1, b"test"))
    peer.connection_error(PROTOCOL_ERROR)


@case
def s6_10_continuation_on_stream_0(peer, target):
    peer.headers(1, target.fields(), done=False)
    peer.send(frame(CONTINUATION, END_HEADERS, 0, b""))
    peer.connection_error(PROTOCOL_ERROR)


@case
def s6_10_continuation_after_the_end(peer, target):
    opened(peer, target)
    peer.send(frame(CONTINUATION, END_HEADERS, 1, b""))
    peer.connection_error(PROTOCOL_ERROR)


@case
def s6_10_continuation_after_its_own_end(peer, target):
    peer.headers(1, target.fields(), done=False)
    peer.send(frame(CONTINUATION, END_HEADERS, 1, b"") + frame(CONTINUATION, END_HEADERS, 1, b""))
    peer.connection_error(PROTOCOL_ERROR)


@case
def s6_10_continuation_after_data(peer, target):
    opened(peer, target)
    peer.send(frame(DATA, 0, 1, b"\0") + frame(CONTINUATION, END_HEADERS, 1, b""))
    peer.connection_error(PROTOCOL_ERROR)


# -- 7: error codes


@case
def s7_unknown_error_codes_have_no_effect_of_their_own(peer, target):
    opened(peer, target)
    peer.send(rst_stream(1, 0xFF))
    peer.lives()


@case
def s7_a_goaway_of_an_unknown_code_lets_streams_finish(peer, target):
    opened(peer, target)
    peer.send(frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0xFF)) + frame(DATA, END_STREAM, 1, BODY))
    peer.answered(1)


# -- 8: requests


@case
def s8_1_a_request_with_trailers(peer, target):
    opened(peer, target)
    peer.send(frame(DATA, 0, 1, BODY))
    peer.headers(1, [("x-trailer", "1")], end=True)
    peer.answered(1)


@case
def s8_1_trailers_that_do_not_end_the_stream(peer, target):
    opened(peer, target)
    peer.headers(1, [("x-trailer", "1")])
    fails(peer, 1, PROTOCOL_ERROR)


def malformed(name, change):
    def run(peer, target):
        peer.headers(1, change(target), end=True)
        refused(peer)

    run.__name__ = name
    case(run)


def refused(peer):
    """A malformed request is a stream error of type PROTOCOL_ERROR (8.1.1)."""
    fails(peer, 1, PROTOCOL_ERROR)


malformed("s8_2_1_uppercase_names", lambda t: t.fields(("X-Upper", "1")))
malformed("s8_2_1_names_with_spaces", lambda t: t.fields(("x bad", "1")))
malformed("s8_2_1_values_with_newlines", lambda t: t.fields(("x-bad", "1\r\nx: 2")))
malformed("s8_2_1_values_with_nul", lambda t: t.fields(("x-bad", "1\x002")))
malformed("s8_2_2_connection", lambda t: t.fields(("connection", "keep-alive")))
malformed("s8_2_2_transfer_encoding", lambda t: t.fields(("transfer-encoding", "chunked")))
malformed("s8_2_2_keep_alive", lambda t: t.fields(("keep-alive", "1")))
malformed("s8_2_2_proxy_connection", lambda t: t.fields(("proxy-connection", "close")))
malformed("s8_2_2_upgrade", lambda t: t.fields(("upgrade", "h2c")))
malformed("s8_2_2_te_other_than_trailers", lambda t: [*t.fields(), ("te", "trailers, deflate")])
malformed("s8_3_unknown_pseudo_fields", lambda t: [(":test", "1"), *t.fields()])
malformed("s8_3_pseudo_fields_of_answers", lambda t: [(":status", "200"), *t.fields()])
malformed("s8_3_pseudo_fields_after_others", lambda t: [("x-first", "1"), *t.fields()])
malformed("s8_3_1_an_empty_path", lambda t: t.fields(path=""))
malformed("s8_3_1_no_method", lambda t: t.fields(method=None))
malformed("s8_3_1_no_scheme", lambda t: t.fields(scheme=None))
malformed("s8_3_1_no_path", lambda t: t.fields(path=None))
malformed("s8_3_1_two_methods", lambda t: [(":method", "POST"), *t.fields()])
malformed("s8_3_1_two_schemes", lambda t: [(":scheme", "http"), *t.fields()])
malformed("s8_3_1_two_paths", lambda t: [(":path", "/"), *t.fields()])


@case
def s8_3_pseudo_fields_in_trailers(peer, target):
    opened(peer, target)
    peer.headers(1, [(":method", "POST")], end=True)
    refused(peer)


@case
def s8_1_1_content_length_says_more_than_comes(peer, target):
    peer.headers(1, target.fields(("content-length", "6")))
    peer.send(frame(DATA, END_STREAM, 1, BODY))
    refused(peer)


@case
def s8_1_1_content_length_says_less_than_comes(peer, target):
    peer.headers(1, target.fields(("content-length", "4")))
    peer.send(frame(DATA, 0, 1, BODY[:3]) + frame(DATA, END_STREAM, 1, BODY[3:]))
    refused(peer)


# -- RFC 7541


def raw(name, block, code=COMPRESSION_ERROR):
    def run(peer, target):
        peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, peer.block(target.fields()) + block))
        peer.connection_error(code)

    run.__name__ = name
    case(run)


raw("hpack_2_3_3_an_index_outside_of_the_tables", b"\xff\x80\x01")
raw("hpack_2_3_3_a_name_outside_of_the_tables", b"\x7f\x80\x01\x01x")
raw("hpack_4_2_a_table_size_at_the_end_of_a_block", b"\x20")
raw("hpack_5_1_an_integer_without_end", b"\xff" + b"\xff" * 12)
raw("hpack_5_2_padding_of_more_than_seven_bits", b"\0\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff")
raw("hpack_5_2_padding_of_zeros", b"\0\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90")
raw("hpack_5_2_an_encoded_eos", b"\0\x85\xf2\xb2\x4a\x84\xff\x87\xff\xff\xff\xfd\x52\x54\x2f")
raw("hpack_5_2_a_string_longer_than_the_block", b"\0\x05x")
raw("hpack_6_1_index_0", b"\x80")


@case
def hpack_6_3_a_table_larger_than_allowed(peer, target):
    peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x3f\xe1\x5f" + peer.block(target.fields())))
    peer.connection_error(COMPRESSION_ERROR)


def encoded(name, encode):
    def run(peer, target):
        peer.send(frame(HEADERS, END_HEADERS, 1, b"".join(encode(*field) for field in target.fields())))
        peer.send(frame(DATA, END_STREAM, 1, BODY))
        peer.answered(1)

    run.__name__ = name
    case(run)


def literal(first):
    """Without Huffman coding, names and values in full."""
    return lambda name, value: bytes([first, len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


encoded("hpack_6_2_1_literals_that_are_indexed", literal(0x40))
encoded("hpack_6_2_2_literals_that_are_not", literal(0x00))
encoded("hpack_6_2_3_literals_that_never_are", literal(0x10))


@case
def hpack_6_1_fields_of_the_dynamic_table(peer, target):
    request(peer, target)
    peer.answered(1)
    first, second = (peer.block(target.fields()) for _ in range(2))
    assert len(second) <= len(first) < 20  # all indexed by now
    peer.send(frame(HEADERS, END_HEADERS, 3, first) + frame(DATA, END_STREAM, 3, BODY))
    peer.answered(3)


@case
def hpack_6_3_the_table_may_shrink_and_grow(peer, target):
    peer.send(frame(HEADERS, END_HEADERS, 1, b"\x20\x3f\xe1\x1f" + peer.block(target.fields())))
    peer.send(frame(DATA, END_STREAM, 1, BODY))
    peer.answered(1)


@pytest.mark.parametrize("case", CASES, ids=lambda function: function.__name__)
def test(case, target):
    with Peer(target.port) as peer:
        case(peer, target)

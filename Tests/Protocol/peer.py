"""An HTTP/2 client that says exactly what a test wants it to say, right or wrong, and reads what comes back."""

import socket
import struct

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR,
 REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM) = range(12)
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = range(1, 6)


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(*pairs):
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", *pair) for pair in pairs))


def window_update(stream, increment):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def rst_stream(stream, code=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def priority(stream, depends_on=0, weight=15, exclusive=False):
    return frame(PRIORITY, 0, stream, struct.pack(">IB", depends_on | (exclusive << 31), weight))


class Frame:
    def __init__(self, kind, flags, stream, payload):
        self.kind, self.flags, self.stream, self.payload = kind, flags, stream, payload

    @property
    def code(self):
        """The error code of RST_STREAM and GOAWAY."""
        return struct.unpack_from(">I", self.payload, 4 if self.kind == GOAWAY else 0)[0]

    def __repr__(self):
        return f"<frame {self.kind} flags {self.flags:#x} stream {self.stream} {self.payload[:32].hex()}>"


class Closed(Exception):
    """The server closed the connection."""


class Peer:
    """A connection. Answers SETTINGS by itself; keeps every frame that came."""

    def __init__(self, port, *, hello=True, first_settings=b"", limit=20, receive_buffer=None):
        self.socket = socket.socket()
        self.socket.settimeout(limit)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.frames, self.is_closed = b"", [], False
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.encoder.huffman = True
        if hello:
            self.send(PREFACE + (first_settings or settings()))
            self.until(lambda f: f.kind == SETTINGS and not f.flags & ACK)
            self.until(lambda f: f.kind == SETTINGS and f.flags & ACK)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # what the server had to say stands in what it has sent

    def read(self):
        """The next frame."""
        while True:
            if len(self.buffer) >= 9:
                size = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) >= 9 + size:
                    kind, flags, stream = struct.unpack_from(">BBI", self.buffer, 3)
                    found = Frame(kind, flags, stream & 0x7FFF_FFFF, self.buffer[9:9 + size])
                    self.buffer = self.buffer[9 + size:]
                    self.frames.append(found)
                    if kind == SETTINGS and not flags & ACK:
                        self.send(frame(SETTINGS, ACK))
                    return found
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                self.is_closed = True
                raise Closed(self.frames)
            self.buffer += data

    def until(self, wanted):
        """The first frame that is wanted; what the server says against us before it is an error."""
        while True:
            found = self.read()
            if wanted(found):
                return found
            harmless = found.kind == RST_STREAM and found.code == NO_ERROR  # an answer that did not wait for its request
            assert harmless or found.kind not in (GOAWAY, RST_STREAM), f"the server complains: {found}"

    def block(self, fields):
        return self.encoder.encode(fields)

    def headers(self, stream, fields, *, end=False, done=True):
        flags = (END_STREAM if end else 0) | (END_HEADERS if done else 0)
        self.send(frame(HEADERS, flags, stream, self.block(fields)))

    # What a test expects.

    def answered(self, stream):
        """A response to the stream came; gives its fields and body. Reads to its end."""
        fields, body = [], b""
        while True:
            found = self.read()
            assert found.kind != GOAWAY and not (found.kind == RST_STREAM and found.code != NO_ERROR), found
            if found.kind == HEADERS:
                decoded = self.decoder.decode(found.payload)  # every block, to keep the table right
                fields += decoded if found.stream == stream else []
            if found.stream == stream and found.kind == DATA:
                body += found.payload
            if found.stream == stream and found.kind in (HEADERS, DATA) and found.flags & END_STREAM:
                return fields, body

    def lives(self):
        """The connection goes on: PING comes back."""
        self.send(frame(PING, payload=b"are you?"))
        self.until(lambda f: f.kind == PING and f.flags & ACK and f.payload == b"are you?")

    def connection_error(self, *codes, or_just_close=False):
        """GOAWAY with one of the codes, and the connection is closed."""
        found = None
        try:
            while True:
                seen = self.read()
                found = seen if seen.kind == GOAWAY else found
        except Closed:
            pass
        if found is None:
            assert or_just_close, f"closed without GOAWAY: {self.frames}"
        else:
            assert found.code in codes, f"GOAWAY with {found.code}"

    def stream_error(self, stream, *codes):
        """RST_STREAM with one of the codes, or the harsher connection error that RFC 9113 section 5.4.2 allows."""
        found = None
        try:
            while found is None:
                seen = self.read()
                if seen.kind == GOAWAY or seen.kind == RST_STREAM and seen.stream == stream:
                    found = seen
        except Closed:
            raise AssertionError(f"closed without a word: {self.frames}") from None
        assert found.code in codes, f"{found} with {found.code}"

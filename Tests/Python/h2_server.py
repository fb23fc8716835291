"""An HTTP/2 server over TLS that misbehaves as the path of a request says, for tests of HTTP clients.

usage: h2_server.py PORT KEY CERTIFICATE

/ok           answers 200
/refuse       resets the stream with REFUSED_STREAM at its head, the first time; answers 200 from then on
/goaway       sends GOAWAY that does not cover the stream at its head, and closes, the first time; answers 200 from then on
/close        closes the connection once the body is there, without an answer
/cancel       resets the stream with CANCEL once the body is there
/seen         answers with the number of whole requests that came for each path, as JSON
"""

import json
import socket
import ssl
import sys
import threading
import time
from collections import Counter

import h2.config
import h2.connection
import h2.events
from h2.errors import ErrorCodes

seen = Counter()
begun = Counter()
lock = threading.Lock()


def answer(conn, stream, body=b"{}"):
    conn.send_headers(stream, [(":status", "200"), ("content-length", str(len(body)))])
    conn.send_data(stream, body, end_stream=True)


def serve(sock):
    conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    conn.initiate_connection()
    sock.sendall(conn.data_to_send())
    paths = {}
    answered = 0
    while True:
        data = sock.recv(65536)
        if not data:
            return
        for event in conn.receive_data(data):
            stream = getattr(event, "stream_id", None)
            if isinstance(event, h2.events.RequestReceived):
                path = dict(event.headers)[b":path"].decode()
                with lock:
                    begun[path] += 1
                    is_first = begun[path] == 1
                if is_first and path.startswith("/refuse"):
                    conn.reset_stream(stream, ErrorCodes.REFUSED_STREAM)
                elif is_first and path.startswith("/goaway"):
                    conn.close_connection(ErrorCodes.NO_ERROR, last_stream_id=answered)
                    sock.sendall(conn.data_to_send())
                    time.sleep(0.1)
                    return
                else:
                    paths[stream] = path
            elif isinstance(event, h2.events.DataReceived):
                conn.acknowledge_received_data(event.flow_controlled_length, stream)
            elif isinstance(event, h2.events.StreamEnded) and stream in paths:
                path = paths[stream]
                with lock:
                    seen[path] += 1
                if path.startswith("/close"):
                    return
                if path.startswith("/cancel"):
                    conn.reset_stream(stream, ErrorCodes.CANCEL)
                elif path == "/seen":
                    answer(conn, stream, json.dumps(seen).encode())
                else:
                    answer(conn, stream)
                answered = stream
        sock.sendall(conn.data_to_send())


def handle(raw, context):
    try:
        with context.wrap_socket(raw, server_side=True) as sock:
            serve(sock)
    except OSError:
        pass


def main():
    port, key, certificate = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])
    listener = socket.create_server(("127.0.0.1", int(port)))
    while True:
        raw, _ = listener.accept()
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=handle, args=(raw, context), daemon=True).start()


main()

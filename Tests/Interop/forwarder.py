"""A way to a server that a test can look into and shut."""

import socket
import threading

from hyperframe.frame import Frame

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Forwarder:
    """Forwards a port until it is shut: then nothing passes, and nothing is closed."""

    def __init__(self, target, address=("127.0.0.1", 0)):
        self.target, self.is_shut, self.sockets = target, False, []
        self.sent, self.passed = b"", 0  # what the first client said, bytes of all in both directions
        self.listener = socket.create_server(address)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            is_first = not self.sockets
            self.sockets.append(client)
            if self.is_shut:
                continue
            server = socket.create_connection(("127.0.0.1", self.target))
            self.sockets.append(server)
            for source, sink, is_kept in ((client, server, is_first), (server, client, False)):
                threading.Thread(target=self.pump, args=(source, sink, is_kept), daemon=True).start()

    def pump(self, source, sink, is_kept):
        try:
            while data := source.recv(65536):
                if not self.is_shut:
                    sink.sendall(data)
                    self.passed += len(data)
                    self.sent += data if is_kept else b""
        except OSError:
            pass

    def frames(self):
        """What the first client sent, as frames of HTTP/2."""
        data, found = self.sent.removeprefix(PREFACE), []
        while len(data) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(data[:9]))
            frame.parse_body(memoryview(data[9:9 + length]))
            found.append(frame)
            data = data[9 + length:]
        return found

    def close(self):
        self.listener.close()
        for each in self.sockets:
            each.close()

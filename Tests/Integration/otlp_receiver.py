"""A collector of traces: takes OTLP/HTTP in its JSON form and keeps the spans."""

import http.server
import json
import threading


class Collector:
    def __init__(self):
        self.spans, self.bodies, self.credentials = [], [], []
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.path == "/v1/traces" and self.headers["Content-Type"] == "application/json"
                collector.take(body, self.headers["Authorization"])
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, body, credential):
        self.bodies.append(body.decode())
        self.credentials.append(credential)
        for resource in json.loads(body)["resourceSpans"]:
            service = plain(resource["resource"]["attributes"])["service.name"]
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    self.spans.append(span | {"service": service, "attributes": plain(span["attributes"])})

    def of(self, trace_id):
        return [span for span in list(self.spans) if span["traceId"] == trace_id]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def plain(attributes):
    return {each["key"]: int(each["value"]["intValue"]) if "intValue" in each["value"] else each["value"]["stringValue"]
            for each in attributes}

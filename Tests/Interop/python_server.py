"""The official description's server on PyPI's grpcio. Prints its port, and that of another under TLS when it is given a
certificate and its key; ends when its input does."""

import pathlib
import sys
import time
from concurrent import futures

import grpc

from schema import (
    AS_THEY_CAME, INITIAL, TRAILING, Empty, InputResponse, OutputResponse, SimpleResponse, handlers, zeros)


class TestService:
    """Requests come with whether they were compressed."""

    def EmptyCall(self, request, context):
        return Empty()

    def UnaryCall(self, request, context):
        message, _ = request
        self.echo_metadata(context)
        self.expect(*request, context)
        self.refuse_as_asked(message, context)
        if message.response_compressed.value:
            self.compress(context)
        return SimpleResponse(payload=self.payload(message.response_size))

    def StreamingOutputCall(self, request, context):
        message, _ = request
        if any(parameters.compressed.value for parameters in message.response_parameters):
            self.compress(context)
        yield from self.respond(message, context)

    def StreamingInputCall(self, requests, context):
        size = 0
        for request in requests:
            self.expect(*request, context)
            size += len(request[0].payload.body)
        return InputResponse(aggregated_payload_size=self.sum(size))

    def FullDuplexCall(self, requests, context):
        self.echo_metadata(context)
        for message, _ in requests:
            self.refuse_as_asked(message, context)
            yield from self.respond(message, context)

    def HalfDuplexCall(self, requests, context):
        for message, _ in list(requests):
            yield from self.respond(message, context)

    def respond(self, message, context):
        for parameters in message.response_parameters:
            time.sleep(parameters.interval_us / 1e6)
            if parameters.HasField("compressed") and not parameters.compressed.value:
                context.disable_next_message_compression()
            yield OutputResponse(payload=self.payload(parameters.size))

    # What lying_servers.py changes.

    def echo_metadata(self, context):
        for name, value in context.invocation_metadata():
            if name == INITIAL:
                context.send_initial_metadata([(name, value)])
            elif name == TRAILING:
                context.set_trailing_metadata([(name, value)])

    def refuse_as_asked(self, message, context):
        if message.HasField("response_status") and message.response_status.code:
            codes = {code.value[0]: code for code in grpc.StatusCode}
            context.abort(codes[message.response_status.code], message.response_status.message)

    def expect(self, message, is_compressed, context):
        if message.HasField("expect_compressed") and message.expect_compressed.value != is_compressed:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"compressed: {is_compressed}")

    def compress(self, context):
        context.set_compression(grpc.Compression.Gzip)

    def payload(self, size):
        return zeros(size)

    def sum(self, size):
        return size


def start(service, *files, others=None):
    """Serves on a free port, and on another by TLS when the files of a certificate and its key are given. `others` answers
    the methods that the service does not have."""
    server = grpc.server(futures.ThreadPoolExecutor(8), options=[AS_THEY_CAME])
    server.add_generic_rpc_handlers([handlers(service)] + ([others] if others else []))
    ports = [server.add_insecure_port("127.0.0.1:0")]
    if files:
        certificate, key = (pathlib.Path(file).read_bytes() for file in files)
        ports.append(server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)])))
    server.start()
    return server, ports


if __name__ == "__main__":
    server, ports = start(TestService(), *sys.argv[1:])
    print(*ports, flush=True)
    sys.stdin.read()
    server.stop(0)

"""The official description's server on PyPI's grpcio. Prints its port; ends when its input does."""

import sys
import time
from concurrent import futures

import grpc

from schema import INITIAL, TRAILING, Empty, InputResponse, OutputResponse, SimpleResponse, handlers, zeros


def echo_metadata(context):
    for name, value in context.invocation_metadata():
        if name == INITIAL:
            context.send_initial_metadata([(name, value)])
        elif name == TRAILING:
            context.set_trailing_metadata([(name, value)])


def refuse_as_asked(request, context):
    if request.HasField("response_status") and request.response_status.code:
        codes = {code.value[0]: code for code in grpc.StatusCode}
        context.abort(codes[request.response_status.code], request.response_status.message)


class TestService:
    def EmptyCall(self, request, context):
        return Empty()

    def UnaryCall(self, request, context):
        echo_metadata(context)
        refuse_as_asked(request, context)
        if request.response_compressed.value:
            context.set_compression(grpc.Compression.Gzip)
        return SimpleResponse(payload=zeros(request.response_size))

    def StreamingOutputCall(self, request, context):
        if any(parameters.compressed.value for parameters in request.response_parameters):
            context.set_compression(grpc.Compression.Gzip)
        yield from self.respond(request, context)

    def respond(self, request, context):
        for parameters in request.response_parameters:
            time.sleep(parameters.interval_us / 1e6)
            if parameters.HasField("compressed") and not parameters.compressed.value:
                context.disable_next_message_compression()
            yield OutputResponse(payload=zeros(parameters.size))

    def StreamingInputCall(self, requests, context):
        return InputResponse(aggregated_payload_size=sum(len(request.payload.body) for request in requests))

    def FullDuplexCall(self, requests, context):
        echo_metadata(context)
        for request in requests:
            refuse_as_asked(request, context)
            yield from self.respond(request, context)

    def HalfDuplexCall(self, requests, context):
        for request in list(requests):
            yield from self.respond(request, context)


server = grpc.server(futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers((handlers(TestService()),))
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
sys.stdin.read()
server.stop(0)

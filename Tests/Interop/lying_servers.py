"""Servers that each break one thing, and the cases of our client that must find it out: the judge's judge.

Prints `NAME:PORT` of each in a line; ends when its input does.
"""

import sys

import grpc

from python_server import TestService, start
from schema import INITIAL, OutputResponse, zeros

# (a server's class, a case, what the client says of it)
LIES = []


def lie(**cases):
    def register(service):
        LIES.extend((service, case, said) for case, said in cases.items())
        return service

    return register


@lie(empty_unary="no answer")
class Refuses(TestService):
    def EmptyCall(self, request, context):
        context.abort(grpc.StatusCode.INTERNAL, "no answer")


@lie(
    large_unary="314158 bytes instead of 314159", custom_metadata="314158 bytes", server_streaming="31414 bytes",
    ping_pong="31414 bytes", client_compressed_unary="314158 bytes", server_compressed_unary="314158 bytes",
    server_compressed_streaming="31414 bytes", cancel_after_first_response="31414 bytes")
class ShortPayload(TestService):
    def payload(self, size):
        return zeros(size - 1)


@lie(large_unary="not all zeros", server_streaming="not all zeros", ping_pong="not all zeros")
class OtherPayload(TestService):
    def payload(self, size):
        payload = zeros(size)
        payload.body = bytes(size - 1) + b"1"
        return payload


@lie(client_streaming="a sum of 74921", client_compressed_streaming="a sum of 73085")
class WrongSum(TestService):
    def sum(self, size):
        return size - 1


@lie(server_streaming="1 responses are missing", custom_metadata="0 responses")
class OneTooFew(TestService):
    def respond(self, message, context):
        yield from list(super().respond(message, context))[:-1]


@lie(server_streaming="too many responses", custom_metadata="2 responses", server_compressed_streaming="too many")
class OneTooMany(TestService):
    def respond(self, message, context):
        yield from super().respond(message, context)
        yield OutputResponse(payload=zeros(message.response_parameters[-1].size))


@lie(ping_pong="one response too many", empty_stream="a response to nothing")
class OneAtTheEnd(TestService):
    def FullDuplexCall(self, requests, context):
        yield from super().FullDuplexCall(requests, context)
        yield OutputResponse(payload=zeros(1))


@lie(ping_pong="ended")  # before the next write or after it
class EndsEarly(TestService):
    def FullDuplexCall(self, requests, context):
        message, _ = next(requests)
        yield from self.respond(message, context)


class Metadata(TestService):
    """Echoes what its `changed` makes of the metadata."""

    def echo_metadata(self, context):
        sent = [(name, value) for name, value in context.invocation_metadata() if name.startswith("x-grpc-test-echo")]
        for name, value in self.changed(sent):
            (context.send_initial_metadata if name == INITIAL else context.set_trailing_metadata)([(name, value)])


@lie(custom_metadata="UnaryCall: initial metadata")
class NoInitialMetadata(Metadata):
    def changed(self, sent):
        return [entry for entry in sent if entry[0] != INITIAL]


@lie(custom_metadata="UnaryCall: trailers")
class NoTrailers(Metadata):
    def changed(self, sent):
        return [entry for entry in sent if entry[0] == INITIAL]


@lie(custom_metadata="UnaryCall: trailers")
class OtherTrailers(Metadata):
    def changed(self, sent):
        return [(name, value if name == INITIAL else b"\xab") for name, value in sent]


@lie(custom_metadata="FullDuplexCall: initial metadata")
class NoMetadataOfStreams(Metadata):
    def changed(self, sent):
        return sent

    def FullDuplexCall(self, requests, context):
        for message, _ in requests:
            yield from self.respond(message, context)


class Status(TestService):
    """Refuses as asked, but for what its `changed` makes of the status."""

    def refuse_as_asked(self, message, context):
        if message.HasField("response_status"):
            context.abort(*self.changed(message.response_status.message))


@lie(status_code_and_message="UnaryCall: INTERNAL", special_status_message="UnaryCall: INTERNAL")
class OtherStatus(Status):
    def changed(self, text):
        return grpc.StatusCode.INTERNAL, text


@lie(status_code_and_message='UnaryCall: "TEST', special_status_message='UnaryCall: "TEST')
class OtherMessage(Status):
    def changed(self, text):
        return grpc.StatusCode.UNKNOWN, text.strip().upper()


@lie(special_status_message="UnaryCall: ")
class TrimmedMessage(Status):
    def changed(self, text):
        return grpc.StatusCode.UNKNOWN, text.strip()


@lie(status_code_and_message="UnaryCall was to fail", special_status_message="UnaryCall was to fail")
class NoStatus(TestService):
    def refuse_as_asked(self, message, context):
        pass


@lie(status_code_and_message="FullDuplexCall was to fail")
class NoStatusOfStreams(TestService):
    def FullDuplexCall(self, requests, context):
        for message, _ in requests:
            yield from self.respond(message, context)


class Elsewhere(grpc.GenericRpcHandler):
    """Answers what the service does not have."""

    def __init__(self, answer):
        self.answer = answer

    def service(self, details):
        if details.method.endswith("/UnimplementedCall"):
            return grpc.unary_unary_rpc_method_handler(self.answer)
        return None


@lie(unimplemented_method="UnimplementedCall was to fail", unimplemented_service="UnimplementedCall was to fail")
class Implemented(TestService):
    others = Elsewhere(lambda request, context: b"")


@lie(unimplemented_method="NOT_FOUND", unimplemented_service="NOT_FOUND")
class NotFound(TestService):
    others = Elsewhere(lambda request, context: context.abort(grpc.StatusCode.NOT_FOUND, "there is no such thing"))


@lie(client_compressed_unary="the probe was to fail", client_compressed_streaming="the probe was to fail")
class TakesAll(TestService):
    def expect(self, message, is_compressed, context):
        pass


@lie(client_compressed_unary="INVALID_ARGUMENT", client_compressed_streaming="INVALID_ARGUMENT")
class TakesNothingCompressed(TestService):
    def expect(self, message, is_compressed, context):
        if message.HasField("expect_compressed") and message.expect_compressed.value:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not that")


@lie(server_compressed_unary="flag is false", server_compressed_streaming="flag is not true")
class CompressesNothing(TestService):
    def compress(self, context):
        pass


@lie(server_compressed_unary="flag is true", server_compressed_streaming="flag is not false")
class CompressesAll(TestService):
    def UnaryCall(self, request, context):
        self.compress(context)
        return super().UnaryCall(request, context)

    def respond(self, message, context):
        for parameters in message.response_parameters:
            yield OutputResponse(payload=zeros(parameters.size))


if __name__ == "__main__":
    kept = {}
    for service in dict.fromkeys(service for service, _, _ in LIES):
        kept[service.__name__] = start(service(), others=getattr(service, "others", None))
    print(*(f"{name}:{ports[0]}" for name, (_, ports) in kept.items()), flush=True)
    sys.stdin.read()

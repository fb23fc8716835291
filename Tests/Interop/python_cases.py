"""The official description's client cases on PyPI's grpcio. A case raises when it does not hold."""

import queue

import grpc

from schema import (
    INITIAL, TRAILING, BoolValue, EchoStatus, Empty, InputRequest, OutputRequest, SimpleRequest, as_it_came, stub, zeros)

REQUESTS, RESPONSES = [27_182, 8, 1_828, 45_904], [31_415, 9, 2_653, 58_979]
GZIP, PLAIN = grpc.Compression.Gzip, grpc.Compression.NoCompression
LIMIT = 20  # seconds a call may take before its case fails


def large(**fields):
    return SimpleRequest(response_size=314_159, payload=zeros(271_828), **fields)


def outputs(*sizes, **fields):
    request = OutputRequest(**fields)
    for size in sizes:
        request.response_parameters.add(size=size)
    return request


def failure(call):
    try:
        result = call()
        for _ in result if hasattr(result, "__iter__") else []:
            pass
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call was to fail, and did not")


def fits(payload, size):
    assert payload.body == bytes(size), f"{len(payload.body)} bytes instead of {size}"


def empty_unary(channel):
    assert stub(channel, "EmptyCall")(Empty(), timeout=LIMIT) == Empty()


def large_unary(channel):
    fits(stub(channel, "UnaryCall")(large(), timeout=LIMIT).payload, 314_159)


def client_streaming(channel):
    requests = [InputRequest(payload=zeros(size)) for size in REQUESTS]
    assert stub(channel, "StreamingInputCall")(iter(requests), timeout=LIMIT).aggregated_payload_size == 74_922


def server_streaming(channel):
    responses = list(stub(channel, "StreamingOutputCall")(outputs(*RESPONSES), timeout=LIMIT))
    assert len(responses) == len(RESPONSES)
    for response, size in zip(responses, RESPONSES):
        fits(response.payload, size)


class PingPong:
    """Requests that are sent one by one."""

    def __init__(self, channel, **options):
        self.requests = queue.Queue()
        self.call = stub(channel, "FullDuplexCall")(iter(self.requests.get, None), timeout=LIMIT, **options)

    def exchange(self, request, response):
        self.requests.put(outputs(response, payload=zeros(request)))
        fits(next(self.call).payload, response)


def ping_pong(channel):
    player = PingPong(channel)
    for request, response in zip(REQUESTS, RESPONSES):
        player.exchange(request, response)
    player.requests.put(None)
    assert list(player.call) == []


def empty_stream(channel):
    assert list(stub(channel, "FullDuplexCall")(iter([]), timeout=LIMIT)) == []


def custom_metadata(channel):
    sent = [(INITIAL, "test_initial_metadata_value"), (TRAILING, b"\xab\xab\xab")]

    def check(call):
        assert sent[0] in [tuple(entry) for entry in call.initial_metadata()]
        assert sent[1] in [tuple(entry) for entry in call.trailing_metadata()]

    _, call = stub(channel, "UnaryCall").with_call(large(), metadata=sent, timeout=LIMIT)
    check(call)
    call = stub(channel, "FullDuplexCall")(
        iter([outputs(314_159, payload=zeros(271_828))]), metadata=sent, timeout=LIMIT)
    assert len(list(call)) == 1
    check(call)


def status_code_and_message(channel):
    status = EchoStatus(code=2, message="test status method")
    for call in (
        lambda: stub(channel, "UnaryCall")(SimpleRequest(response_status=status), timeout=LIMIT),
        lambda: stub(channel, "FullDuplexCall")(iter([OutputRequest(response_status=status)]), timeout=LIMIT),
    ):
        error = failure(call)
        assert error.code() == grpc.StatusCode.UNKNOWN and error.details() == status.message


def special_status_message(channel):
    status = EchoStatus(code=2, message="\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n")
    error = failure(lambda: stub(channel, "UnaryCall")(SimpleRequest(response_status=status), timeout=LIMIT))
    assert error.code() == grpc.StatusCode.UNKNOWN and error.details() == status.message


def unimplemented_method(channel):
    error = failure(lambda: stub(channel, "UnimplementedCall")(Empty(), timeout=LIMIT))
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED


def unimplemented_service(channel):
    call = stub(channel, "UnimplementedCall", service="grpc.testing.UnimplementedService")
    assert failure(lambda: call(Empty(), timeout=LIMIT)).code() == grpc.StatusCode.UNIMPLEMENTED


def cancel_after_begin(channel):
    call = stub(channel, "StreamingInputCall").future(iter(queue.Queue().get, None), timeout=LIMIT)
    call.cancel()
    assert call.cancelled() and call.code() == grpc.StatusCode.CANCELLED


def cancel_after_first_response(channel):
    player = PingPong(channel)
    player.exchange(REQUESTS[0], RESPONSES[0])
    player.call.cancel()
    assert failure(lambda: player.call).code() == grpc.StatusCode.CANCELLED
    player.requests.put(None)


def timeout_on_sleeping_server(channel):
    requests = queue.Queue()
    requests.put(OutputRequest(payload=zeros(27_182)))
    error = failure(lambda: stub(channel, "FullDuplexCall")(iter(requests.get, None), timeout=0.001))
    requests.put(None)
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED


PLAIN_CASES = [
    empty_unary, large_unary, client_streaming, server_streaming, ping_pong, empty_stream, custom_metadata,
    status_code_and_message, special_status_message, unimplemented_method, unimplemented_service, cancel_after_begin,
    cancel_after_first_response, timeout_on_sleeping_server,
]


def refused(call):
    assert failure(call).code() == grpc.StatusCode.INVALID_ARGUMENT, "the probe passed"


def client_compressed_unary(channel):
    call = stub(channel, "UnaryCall")
    yes, no = (large(expect_compressed=BoolValue(value=value)) for value in (True, False))
    refused(lambda: call(yes, compression=PLAIN, timeout=LIMIT))
    fits(call(yes, compression=GZIP, timeout=LIMIT).payload, 314_159)
    fits(call(no, compression=PLAIN, timeout=LIMIT).payload, 314_159)


def client_compressed_streaming(channel):
    """grpcio compresses all messages of a call or none."""
    call = stub(channel, "StreamingInputCall")
    first = InputRequest(payload=zeros(27_182), expect_compressed=BoolValue(value=True))
    refused(lambda: call(iter([first]), compression=PLAIN, timeout=LIMIT))
    second = InputRequest(payload=zeros(45_904), expect_compressed=BoolValue(value=True))
    assert call(iter([first, second]), compression=GZIP, timeout=LIMIT).aggregated_payload_size == 73_086


REQUEST_CASES = [client_compressed_unary, client_compressed_streaming]


# Each of these runs on a usual channel, where grpcio inflates what comes, and on one with AS_THEY_CAME, which tells what
# was compressed.


def server_compressed_unary(channel, as_they_came):
    for value in (True, False):
        request = large(response_compressed=BoolValue(value=value))
        fits(stub(channel, "UnaryCall")(request, timeout=LIMIT).payload, 314_159)
        response, is_compressed = stub(as_they_came, "UnaryCall", reader=as_it_came)(request, timeout=LIMIT)
        fits(response.payload, 314_159)
        assert is_compressed == value


def server_compressed_streaming(channel, as_they_came):
    request, wanted = OutputRequest(), [(31_415, True), (92_653, False)]
    for size, compressed in wanted:
        request.response_parameters.add(size=size, compressed=BoolValue(value=compressed))
    responses = stub(channel, "StreamingOutputCall")(request, timeout=LIMIT)
    assert [len(response.payload.body) for response in responses] == [size for size, _ in wanted]
    responses = stub(as_they_came, "StreamingOutputCall", reader=as_it_came)(request, timeout=LIMIT)
    assert [(len(response.payload.body), compressed) for response, compressed in responses] == wanted


RESPONSE_CASES = [server_compressed_unary, server_compressed_streaming]

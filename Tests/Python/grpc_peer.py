"""The official gRPC runtime as the other side of our calls.

grpc_peer.py client HOST:PORT   calls a server of ours (test.Notes, grpc.health.v1) and prints what is wrong, a line a
                                fault; silent when all is well
grpc_peer.py server             serves test.Notes, prints its port, ends when its input does
"""

import faulthandler
import signal
import sys
import threading
import time
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


def note_class():
    file = descriptor_pb2.FileDescriptorProto(name="test/note.proto", package="test", syntax="proto3")
    message = file.message_type.add(name="Note")
    kinds = descriptor_pb2.FieldDescriptorProto
    for number, (name, kind) in enumerate(
        [("text", kinds.TYPE_STRING), ("number", kinds.TYPE_INT64), ("data", kinds.TYPE_BYTES)], 1
    ):
        message.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("test.Note"))


faulthandler.register(signal.SIGUSR1)  # kill -USR1 shows where it waits
Note = note_class()
coding = dict(request_serializer=Note.SerializeToString, response_deserializer=Note.FromString)


class Stub:
    def __init__(self, channel, target):
        self.channel, self.target = channel, target
        self.echo = channel.unary_unary("/test.Notes/Echo", **coding)
        self.count = channel.unary_stream("/test.Notes/Count", **coding)
        self.join = channel.stream_unary("/test.Notes/Join", **coding)
        self.chat = channel.stream_stream("/test.Notes/Chat", **coding)
        self.missing = channel.unary_unary("/test.Notes/Missing", **coding)


def outcome(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    return None


# -- our server, their client


def check_unary(stub):
    for note in [Note(), Note(text="héllo ✓", number=-7, data=bytes(range(256))), Note(data=b"x" * 3_000_000)]:
        assert stub.echo(note) == note


def check_metadata(stub):
    sent = (("x-kind", "a"), ("x-kind", "b"), ("key-bin", b"\x00\xff\n"), ("empty-bin", b""))
    reply, call = stub.echo.with_call(Note(text="metadata"), metadata=sent)
    assert ("x-initial", "yes") in call.initial_metadata(), call.initial_metadata()
    back = [item for item in call.trailing_metadata() if item[0] in ("x-kind", "key-bin", "empty-bin")]
    assert sorted(tuple(item) for item in back) == sorted(sent), back


def check_error(stub):
    error = outcome(lambda: stub.echo(Note(text="fail")))
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
    assert error.details() == "no — 100 %\nof it", error.details()
    packed = dict(error.trailing_metadata())["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(packed)
    info = error_details_pb2.ErrorInfo()
    assert status.code == 9 and status.details[0].Unpack(info), status
    assert (info.reason, info.domain) == ("not_connected", "test"), info


def check_streams(stub):
    assert [note.number for note in stub.count(Note(number=1000))] == list(range(1000))
    assert stub.join(Note(number=n) for n in range(1, 101)).number == 5050
    answers = stub.chat(Note(number=n) for n in range(500))
    assert [note.number for note in answers] == [2 * n for n in range(500)]


def check_slow_reader(stub):
    total = 0
    for index, note in enumerate(stub.count(Note(number=400, data=b"x" * 50_000))):
        total += len(note.data)
        if index in (1, 50):
            time.sleep(0.1)
    assert total == 400 * 50_000, total


def check_deadline(stub):
    error = outcome(lambda: stub.echo(Note(text="sleep"), timeout=0.1))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error


def check_cancellation(stub):
    until_waiting(stub, 0)  # the call that ran out of time
    calls = [stub.echo.future(Note(text="sleep"), timeout=60), stub.chat(iter(lambda: time.sleep(5) or Note(), None))]
    until_waiting(stub, 2)
    for call in calls:
        call.cancel()
    until_waiting(stub, 0)


def until_waiting(stub, count):
    """Until so many handlers wait: for 15 s at most, which is less than they wait themselves."""
    deadline = time.monotonic() + 15
    while (waiting := stub.echo(Note(text="waiting")).number) != count:
        assert time.monotonic() < deadline, f"{waiting} handlers wait, not {count}"
        time.sleep(0.02)


def check_refusals(stub):
    assert outcome(lambda: stub.missing(Note())).code() == grpc.StatusCode.UNIMPLEMENTED
    error = outcome(lambda: stub.echo(Note(data=b"x" * 4_200_000)))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, error
    error = outcome(lambda: stub.echo(Note(), metadata=[("x-large", "a" * 15_000), ("x-more", "b" * 2_000)]))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, error
    error = outcome(lambda: stub.echo(Note(text="a" * 1000), compression=grpc.Compression.Deflate))
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error
    accepted = dict(http_headers(stub.target, "POST", "application/grpc", [("grpc-encoding", "x-unknown")]))
    assert accepted["grpc-status"] == "12" and accepted["grpc-accept-encoding"] == "identity,gzip", accepted
    assert http_status(stub.target, "POST", "application/json") == "415"
    assert http_status(stub.target, "POST", "application/grpc-web") == "415"
    assert http_status(stub.target, "GET", "application/grpc") == "405"


def check_compression(stub):
    note = Note(text="compress", data=b"x" * 100_000)
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        assert stub.echo(note, compression=compression) == note
        answers = list(stub.chat((Note(number=n) for n in range(20)), compression=compression))
        assert [answer.number for answer in answers] == [2 * n for n in range(20)]
    error = outcome(lambda: stub.echo(Note(data=b"x" * 5_000_000), compression=grpc.Compression.Gzip))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, error


def check_too_many_pings(stub):
    import socket

    import h2.connection
    import h2.events

    host, port = stub.target.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as link:
        connection = h2.connection.H2Connection()
        connection.initiate_connection()
        for number in range(4):  # the first, two that are forgiven, and the third strike
            connection.ping(bytes([number] * 8))
        link.sendall(connection.data_to_send())
        acknowledged = 0
        while True:
            data = link.recv(65536)
            assert data, "closed without GOAWAY"
            for event in connection.receive_data(data):
                acknowledged += isinstance(event, h2.events.PingAckReceived)
                if isinstance(event, h2.events.ConnectionTerminated):
                    assert event.error_code == 11 and event.additional_data == b"too_many_pings", event
                    return


def http_status(target, method, content_type):
    headers = http_headers(target, method, content_type)
    return dict(headers)[":status"] if isinstance(headers, list) else headers


def http_headers(target, method, content_type, more=()):
    import socket

    import h2.connection
    import h2.events

    host, port = target.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as link:
        connection = h2.connection.H2Connection()
        connection.initiate_connection()
        fields = [(":method", method), (":path", "/test.Notes/Echo"), (":scheme", "http"), (":authority", target)]
        connection.send_headers(1, fields + [("content-type", content_type), *more], end_stream=True)
        link.sendall(connection.data_to_send())
        while True:
            for event in connection.receive_data(link.recv(65536)):
                if isinstance(event, h2.events.ResponseReceived):
                    return [(name.decode(), value.decode()) for name, value in event.headers]
                if isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                    return str(event)


def check_health(stub):
    stub = health_pb2_grpc.HealthStub(stub.channel)
    assert stub.Check(health_pb2.HealthCheckRequest(service="test.Notes")).status == 1
    error = outcome(lambda: stub.Check(health_pb2.HealthCheckRequest(service="nobody")))
    assert error.code() == grpc.StatusCode.NOT_FOUND, error
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="nobody"))
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()


def check_reflection(stub):
    database = ProtoReflectionDescriptorDatabase(stub.channel)
    services = set(database.get_services())
    assert {"test.Notes", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"} <= services, services
    pool = descriptor_pool.DescriptorPool(database)
    assert pool.FindServiceByName("test.Notes").FindMethodByName("Chat").input_type.fields_by_name["data"].number == 3
    health = pool.FindServiceByName("grpc.health.v1.Health")
    assert [method.name for method in health.methods] == ["Check", "List", "Watch"], health.methods
    statuses = pool.FindMessageTypeByName("grpc.health.v1.HealthListResponse").fields_by_name["statuses"]
    assert statuses.message_type.GetOptions().map_entry


def run_client(target):
    with grpc.insecure_channel(target) as channel:
        stub = Stub(channel, target)
        checks = [check_unary, check_metadata, check_error, check_streams, check_slow_reader, check_deadline]
        checks += [check_cancellation, check_refusals, check_compression, check_health, check_reflection]
        checks += [check_too_many_pings]
        for check in checks:
            try:
                check(stub)
            except Exception as error:  # a fault of either side: reported, not raised
                print(f"{check.__name__}: {type(error).__name__}: {error}".replace("\n", " "))


# -- their server, our client


class Notes:
    def __init__(self):
        self.waiting = 0

    def echo(self, request, context):
        if len(request.data) > 1000:
            context.set_compression(grpc.Compression.Gzip)
        if request.text == "fail":
            info = error_details_pb2.ErrorInfo(reason="not_connected", domain="test")
            status = status_pb2.Status(code=9, message="no — 100 %")
            status.details.add().Pack(info)
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()), ("x-after", "yes")))
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no — 100 %")
        if request.text == "sleep":
            done = threading.Event()
            context.add_callback(done.set)
            self.waiting += 1
            done.wait(60)
            self.waiting -= 1
        if request.text == "waiting":
            return Note(number=self.waiting)
        if request.text == "time":
            return Note(number=int(context.time_remaining() or -1))
        if request.text == "metadata":
            context.send_initial_metadata((("x-initial", "yes"),))
            context.set_trailing_metadata(
                [item for item in context.invocation_metadata() if item[0] in ("x-kind", "key-bin")])
        return request

    def count(self, request, context):
        for number in range(request.number):
            yield Note(number=number, data=request.data)

    def join(self, requests, context):
        return Note(number=sum(note.number for note in requests))

    def chat(self, requests, context):
        for note in requests:
            yield Note(number=note.number * 2)


def run_server():
    notes = Notes()
    codec = dict(request_deserializer=Note.FromString, response_serializer=Note.SerializeToString)
    handlers = {
        "Echo": grpc.unary_unary_rpc_method_handler(notes.echo, **codec),
        "Count": grpc.unary_stream_rpc_method_handler(notes.count, **codec),
        "Join": grpc.stream_unary_rpc_method_handler(notes.join, **codec),
        "Chat": grpc.stream_stream_rpc_method_handler(notes.chat, **codec),
    }

    def start(port):
        server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Notes", handlers),))
        bound = server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        return server, bound

    server, port = start(0)
    print(port, flush=True)
    for line in sys.stdin:
        if line.strip() == "restart":
            server.stop(grace=5).wait()
            server, _ = start(port)
            print("restarted", flush=True)
    server.stop(grace=None).wait()


if __name__ == "__main__":
    if sys.argv[1] == "client":
        run_client(sys.argv[2])
    else:
        run_server()

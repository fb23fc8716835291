"""Health and reflection of our server, by PyPI's grpcio-health-checking and grpcio-reflection."""

import os
import pathlib
import subprocess
import sys
import tempfile

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

import reflection
import schema
from conftest import read_line, stop

BIN = pathlib.Path(os.environ["EMAILMCP_BIN"])
FILES = ["grpc/testing/test.proto", "grpc/testing/messages.proto", "grpc/testing/empty.proto"]
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


@pytest.fixture(scope="module")
def channel(our_server):
    with grpc.insecure_channel(f"127.0.0.1:{our_server}") as channel:
        yield channel


@pytest.fixture(scope="module")
def official():
    """The files as protoc reads them, by name."""
    with tempfile.NamedTemporaryFile() as file:
        subprocess.run(
            [sys.executable, "-m", "grpc_tools.protoc", f"-I{schema.PROTO}", "--include_imports",
             f"--descriptor_set_out={file.name}", *FILES], check=True)
        return {proto.name: proto for proto in descriptor_pb2.FileDescriptorSet.FromString(file.read()).file}


services = pytest.mark.parametrize("service", [reflection.V1, reflection.ALPHA])


@services
def test_services_are_listed(channel, service):
    assert set(reflection.database(channel, service).get_services()) == {
        "grpc.health.v1.Health", reflection.V1, reflection.ALPHA, "grpc.testing.TestService",
        "grpc.testing.XdsUpdateHealthService"}


@services
@pytest.mark.parametrize("name", FILES)
def test_a_file_by_its_name_is_what_protoc_makes_of_it(channel, service, name, official):
    assert reflection.database(channel, service).FindFileByName(name) == official[name]


@services
@pytest.mark.parametrize("symbol, file", [
    ("grpc.testing.TestService", FILES[0]), ("grpc.testing.TestService.UnaryCall", FILES[0]),
    ("grpc.testing.SimpleRequest", FILES[1]), ("grpc.testing.SimpleRequest.response_size", FILES[1]),
    ("grpc.testing.PayloadType", FILES[1]), ("grpc.testing.Empty", FILES[2]),
    ("grpc.testing.LoadBalancerStatsResponse.RpcsByPeer", FILES[1]),
])
def test_a_file_by_what_it_declares(channel, service, symbol, file, official):
    assert reflection.database(channel, service).FindFileContainingSymbol(symbol) == official[file]


@services
def test_what_is_not_there_is_said(channel, service):
    database = reflection.database(channel, service)
    for find, name in [
        (database.FindFileByName, "nowhere.proto"), (database.FindFileContainingSymbol, "grpc.testing.No")]:
        with pytest.raises(KeyError):
            find(name)
    # A message of proto3 has none.
    assert list(database.FindAllExtensionNumbers("grpc.testing.Empty")) == []


@services
def test_errors_leave_the_call_open(channel, service):
    """Each answer carries its question, and a question that is none is refused like any other."""
    call = channel.stream_stream(
        f"/{service}/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString)
    questions = [
        reflection_pb2.ServerReflectionRequest(host="h", file_containing_symbol="no.such"),
        reflection_pb2.ServerReflectionRequest(all_extension_numbers_of_type="no.such"),
        reflection_pb2.ServerReflectionRequest(
            file_containing_extension={"containing_type": "grpc.testing.Empty", "extension_number": 100}),
        reflection_pb2.ServerReflectionRequest(),
        reflection_pb2.ServerReflectionRequest(list_services=""),
    ]
    answers = list(call(iter(questions), timeout=20))
    assert [answer.original_request for answer in answers] == questions
    assert answers[0].valid_host == "h"
    codes = [grpc.StatusCode.NOT_FOUND] * 3 + [grpc.StatusCode.INVALID_ARGUMENT]
    assert [answer.error_response.error_code for answer in answers[:4]] == [code.value[0] for code in codes]
    assert all(answer.error_response.error_message for answer in answers[:4])
    assert answers[4].WhichOneof("message_response") == "list_services_response"


def test_a_call_by_reflection_alone(channel):
    """What grpcurl does: descriptors from the server, then a call with them."""
    call, request = reflection.method(channel, reflection.pool(channel), "grpc.testing.TestService.UnaryCall")
    assert len(call(request(response_size=9), timeout=20).payload.body) == 9


def test_check_and_list(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ["", "grpc.testing.TestService"]:
        assert stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=20).status == SERVING
    with pytest.raises(grpc.RpcError) as failed:
        stub.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=20)
    assert failed.value.code() == grpc.StatusCode.NOT_FOUND
    listed = stub.List(health_pb2.HealthListRequest(), timeout=20).statuses
    assert {service: listed[service].status for service in listed} == {
        "": SERVING, "grpc.testing.TestService": SERVING}


def test_watch_tells_each_change():
    process = subprocess.Popen([BIN / "interop-server", "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        port = read_line(process).rsplit(":", 1)[1]
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            watches = [
                stub.Watch(health_pb2.HealthCheckRequest(service=service), timeout=50)
                for service in ("", "grpc.testing.TestService")]
            assert [next(watch).status for watch in watches] == [SERVING, SERVING]
            # A service that nobody knows may come to be: the watch waits for it.
            unknown = stub.Watch(health_pb2.HealthCheckRequest(service="nobody"), timeout=50)
            assert next(unknown).status == UNKNOWN
            update = channel.unary_unary(
                "/grpc.testing.XdsUpdateHealthService/SetNotServing",
                request_serializer=schema.Empty.SerializeToString, response_deserializer=schema.Empty.FromString)
            update(schema.Empty(), timeout=20)
            assert [next(watch).status for watch in watches] == [NOT_SERVING, NOT_SERVING]
            assert stub.Check(health_pb2.HealthCheckRequest(), timeout=20).status == NOT_SERVING
            # A drain ends the watches, so that they do not hold it up.
            process.terminate()
            for watch in [*watches, unknown]:
                with pytest.raises(grpc.RpcError) as ended:
                    next(watch)
                assert ended.value.code() == grpc.StatusCode.UNAVAILABLE
        assert process.wait(timeout=50) == 0
    finally:
        stop(process)

"""grpc.testing.TestService for PyPI's grpcio, from the schemas of Debian's package grpc-proto.

Not by generated modules: a package named `grpc.testing` would stand in the way of grpcio's own.
"""

import gzip
import subprocess
import sys
import tempfile

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PROTO = "/usr/share/grpc-proto"


def _load():
    with tempfile.NamedTemporaryFile() as file:
        subprocess.run(
            [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", "--include_imports",
             f"--descriptor_set_out={file.name}", "grpc/testing/test.proto"], check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(file.read())
    pool = descriptor_pool.DescriptorPool()
    for proto in files.file:
        pool.Add(proto)
    return pool


_pool = _load()


def message(name):
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"grpc.testing.{name}"))


Empty = message("Empty")
Payload = message("Payload")
EchoStatus = message("EchoStatus")
SimpleRequest = message("SimpleRequest")
SimpleResponse = message("SimpleResponse")
InputRequest = message("StreamingInputCallRequest")
InputResponse = message("StreamingInputCallResponse")
OutputRequest = message("StreamingOutputCallRequest")
OutputResponse = message("StreamingOutputCallResponse")
BoolValue = message("BoolValue")

SERVICE = "grpc.testing.TestService"
# With this option grpcio hands messages on as they came. It never says otherwise which were compressed.
AS_THEY_CAME = ("grpc.per_message_decompression", 0)
INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"

# name → (kind of grpcio's, request, response)
METHODS = {
    "EmptyCall": ("unary_unary", Empty, Empty),
    "UnaryCall": ("unary_unary", SimpleRequest, SimpleResponse),
    "StreamingOutputCall": ("unary_stream", OutputRequest, OutputResponse),
    "StreamingInputCall": ("stream_unary", InputRequest, InputResponse),
    "FullDuplexCall": ("stream_stream", OutputRequest, OutputResponse),
    "HalfDuplexCall": ("stream_stream", OutputRequest, OutputResponse),
}


def zeros(size):
    return Payload(body=bytes(size))


def as_it_came(message):
    """Reads a message of a channel or server with AS_THEY_CAME: the message, and whether it was compressed. No message
    begins with gzip's two bytes: the first would be a tag of a wire type that there is not."""

    def read(data):
        is_compressed = data.startswith(b"\x1f\x8b")
        return message.FromString(gzip.decompress(data) if is_compressed else data), is_compressed

    return read


def stub(channel, name, service=SERVICE, reader=lambda message: message.FromString):
    kind, request, response = METHODS.get(name, ("unary_unary", Empty, Empty))
    return getattr(channel, kind)(
        f"/{service}/{name}", request_serializer=request.SerializeToString, response_deserializer=reader(response))


def handlers(servicer):
    return grpc.method_handlers_generic_handler(SERVICE, {
        name: getattr(grpc, f"{kind}_rpc_method_handler")(
            getattr(servicer, name), request_deserializer=as_it_came(request),
            response_serializer=response.SerializeToString)
        for name, (kind, request, response) in METHODS.items()})

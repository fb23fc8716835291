"""grpcio-reflection's database, which speaks v1alpha, for both names of the service."""

from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

V1, ALPHA = "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"


class _Renamed:
    """A channel that calls the service by its present name; the messages are the same."""

    def __init__(self, channel, service):
        self._channel, self._service = channel, service

    def stream_stream(self, path, **options):
        return self._channel.stream_stream(path.replace(ALPHA, self._service), **options)


def database(channel, service=V1):
    return ProtoReflectionDescriptorDatabase(_Renamed(channel, service))


def method(channel, pool, name):
    """A callable for `package.Service.Method`, made of nothing but what the server tells of itself."""
    found = pool.FindMethodByName(name)
    kind = "{}_{}".format(*("stream" if streams else "unary" for streams in (
        found.client_streaming, found.server_streaming)))
    request, response = (
        message_factory.GetMessageClass(kind) for kind in (found.input_type, found.output_type))
    call = getattr(channel, kind)(
        f"/{found.containing_service.full_name}/{found.name}", request_serializer=request.SerializeToString,
        response_deserializer=response.FromString)
    return call, request


def pool(channel, service=V1):
    return descriptor_pool.DescriptorPool(database(channel, service))

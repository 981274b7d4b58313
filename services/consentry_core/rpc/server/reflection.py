"""Server reflection under both names that tools ask for.

grpcio-reflection serves `v1alpha` only; newer tools ask `v1` first. The two are the same on the wire: one servicer answers
both. `v1` is advertised together with a descriptor of its own, or a bare `grpcurl describe` breaks on it.

Its pool finds services and messages, and not what is in them: a method, a field or a value of an enumeration is found here.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

_V1 = "grpc.reflection.v1.ServerReflection"


def add_reflection(server: grpc.aio.Server, services: Sequence[str]) -> None:
    """Serve reflection for these services and for itself."""
    pool = descriptor_pool.Default()
    _describe_v1(pool)
    servicer = _Reflection([*services, reflection.SERVICE_NAME, _V1], pool=pool)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_V1, {"ServerReflectionInfo": handler}),))


class _Reflection(reflection.aio.ReflectionServicer):
    """Finds the parts of what it describes by their full names, too."""

    def __init__(self, service_names: Sequence[str], pool: descriptor_pool.DescriptorPool) -> None:
        super().__init__(service_names, pool=pool)
        files: dict[str, Any] = {}
        for name in service_names:
            _add_with_dependencies(pool.FindFileContainingSymbol(name), files)
        self._file_of = {part: file.name for file in files.values() for part in _parts(file)}

    def _file_containing_symbol(self, request: Any, fully_qualified_name: str) -> Any:
        file = self._file_of.get(fully_qualified_name)
        if file is None:
            return super()._file_containing_symbol(request, fully_qualified_name)  # type: ignore[misc]
        return self._file_by_filename(request, file)  # type: ignore[attr-defined]


def _add_with_dependencies(file: Any, files: dict[str, Any]) -> None:
    if file.name not in files:
        files[file.name] = file
        for dependency in file.dependencies:
            _add_with_dependencies(dependency, files)


def _parts(file: Any) -> Iterator[str]:
    """Full names of methods, fields, groups of fields and values of enumerations."""
    for service in file.services_by_name.values():
        yield from (method.full_name for method in service.methods)
    for enum in file.enum_types_by_name.values():
        yield from _values(enum, file.package)
    for message in file.message_types_by_name.values():
        yield from _parts_of_message(message)


def _parts_of_message(message: Any) -> Iterator[str]:
    yield from (field.full_name for field in message.fields)
    yield from (oneof.full_name for oneof in message.oneofs)
    for enum in message.enum_types:
        yield from _values(enum, message.full_name)
    for nested in message.nested_types:
        yield from _parts_of_message(nested)


def _values(enum: Any, scope: str) -> Iterator[str]:
    """A value's name stands beside its enumeration's, by the language; below it, by what grpcurl asks for."""
    for value in enum.values:
        yield from (f"{scope}.{value.name}", f"{enum.full_name}.{value.name}")


def _describe_v1(pool: descriptor_pool.DescriptorPool) -> None:
    try:
        pool.FindServiceByName(_V1)
    except KeyError:
        file = descriptor_pb2.FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(file)
        file.name = "grpc/reflection/v1/reflection.proto"
        file.package = "grpc.reflection.v1"
        for message in file.message_type:
            for field in message.field:
                if field.type_name:
                    field.type_name = field.type_name.replace(".v1alpha.", ".v1.")
        for method in file.service[0].method:
            method.input_type = method.input_type.replace(".v1alpha.", ".v1.")
            method.output_type = method.output_type.replace(".v1alpha.", ".v1.")
        pool.AddSerializedFile(file.SerializeToString())

"""Messages that are put together from encoded ones, and servicers that may answer with them.

A stored payload is a serialised message. An answer that holds some is not built from parsed ones: a repeated field of
submessages is, on the wire, nothing but its elements one after the other, each behind the field's tag and its length.

    join(QueryHistoryResponse.TELEMETRY_FIELD_NUMBER, payloads)   ==   QueryHistoryResponse(telemetry=[...]).SerializeToString()

Servicers registered by `add_servicer` may return or yield such bytes wherever a message is expected.
"""

from collections.abc import Iterable
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from consentry_devices.blocks.wire import delimited


def join(field_number: int, payloads: Iterable[bytes]) -> bytes:
    """The serialised message whose field of this number holds these submessages. Other fields may be appended."""
    return b"".join([delimited(field_number, payload) for payload in payloads])


def encoded(message: Message | bytes) -> bytes:
    """The message's bytes; bytes as they are."""
    return message if isinstance(message, bytes) else message.SerializeToString()


def add_servicer(server: grpc.aio.Server, service: ServiceDescriptor, servicer: Any) -> None:
    """Register a servicer whose methods may answer with encoded messages."""
    handlers = {}
    for method in service.methods:
        shape = _SHAPES[method.client_streaming, method.server_streaming]
        handlers[method.name] = shape(
            getattr(servicer, method.name),
            request_deserializer=message_factory.GetMessageClass(method.input_type).FromString,
            response_serializer=encoded,
        )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))


_SHAPES: dict[tuple[bool, bool], Any] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}

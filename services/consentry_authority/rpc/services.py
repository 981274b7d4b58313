"""The services of the authority: each descriptor with the way to add what answers it. A new service is a line here."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

import grpc
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor

from consentry.authority.v1 import (
    consent_pb2,
    consent_pb2_grpc,
    coverage_pb2,
    coverage_pb2_grpc,
    directory_pb2,
    directory_pb2_grpc,
    enforcement_pb2,
    enforcement_pb2_grpc,
    keys_pb2,
    keys_pb2_grpc,
    tokens_pb2,
    tokens_pb2_grpc,
)
from consentry_authority.rpc.consents import ConsentServicer
from consentry_authority.rpc.coverage import CoverageServicer
from consentry_authority.rpc.directory import DirectoryServicer
from consentry_authority.rpc.enforcement import EnforcementServicer
from consentry_authority.rpc.keys import KeyServicer
from consentry_authority.rpc.tokens import TokenServicer
from consentry_core.rpc.server.serving import AddServicers

_SERVICES: Final[dict[type, tuple[FileDescriptor, Callable[[Any, grpc.aio.Server], None]]]] = {
    ConsentServicer: (consent_pb2.DESCRIPTOR, consent_pb2_grpc.add_ConsentServiceServicer_to_server),
    CoverageServicer: (coverage_pb2.DESCRIPTOR, coverage_pb2_grpc.add_CoverageServiceServicer_to_server),
    DirectoryServicer: (directory_pb2.DESCRIPTOR, directory_pb2_grpc.add_DirectoryServiceServicer_to_server),
    EnforcementServicer: (enforcement_pb2.DESCRIPTOR, enforcement_pb2_grpc.add_EnforcementServiceServicer_to_server),
    KeyServicer: (keys_pb2.DESCRIPTOR, keys_pb2_grpc.add_KeyServiceServicer_to_server),
    TokenServicer: (tokens_pb2.DESCRIPTOR, tokens_pb2_grpc.add_TokenServiceServicer_to_server),
}


class Service(NamedTuple):
    """A service, and how a server is made to answer it."""

    descriptor: ServiceDescriptor
    add: AddServicers


def service_of(servicer: object) -> Service:
    """The service that a servicer answers."""
    file, add = _SERVICES[type(servicer)]
    name = type(servicer).__name__.removesuffix("r")  # `KeyServicer` answers `KeyService`
    return Service(file.services_by_name[name], partial(add, servicer))

"""The authority, asked with the token of whoever is signed in."""

from collections.abc import AsyncIterator
from typing import Any, TypeVar

import grpc

from consentry.authority.v1 import tokens_pb2
from consentry.authority.v1.consent_pb2_grpc import ConsentServiceStub
from consentry.authority.v1.directory_pb2_grpc import DirectoryServiceStub
from consentry.authority.v1.enforcement_pb2_grpc import EnforcementServiceStub
from consentry.authority.v1.keys_pb2_grpc import KeyServiceStub
from consentry.authority.v1.tokens_pb2_grpc import TokenServiceStub
from consentry_client.errors import failure_of
from consentry_console.session.sessions import Person
from consentry_core.protocol.times import from_timestamp
from consentry_core.rpc.client.channels import bearer

_A = TypeVar("_A")
_TIMEOUT = 20.0
_PAGE = 200
ROLES = {
    tokens_pb2.Token.ROLE_OPERATOR: "operator",
    tokens_pb2.Token.ROLE_PARTNER_ADMIN: "partner-admin",
    tokens_pb2.Token.ROLE_CUSTOMER_ADMIN: "customer-admin",
}


class Platform:
    """The authority's services. Calls raise `CallFailed`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.consents: Any = ConsentServiceStub(channel)
        self.directory: Any = DirectoryServiceStub(channel)
        self.enforcement: Any = EnforcementServiceStub(channel)
        self.keys: Any = KeyServiceStub(channel)
        self.tokens: Any = TokenServiceStub(channel)

    async def who(self, secret: str) -> Person:
        """Whose token this is."""
        answer = await self.ask(secret, self.tokens.WhoAmI, tokens_pb2.WhoAmIRequest())
        ends = from_timestamp(answer.expire_time, "expire_time") if answer.HasField("expire_time") else None
        return Person(answer.name, ROLES.get(answer.role, ""), answer.organization, ends)

    async def ask(self, secret: str, method: Any, request: Any) -> Any:
        """One answer."""
        try:
            return await method(request, metadata=bearer(secret), timeout=_TIMEOUT)
        except grpc.RpcError as error:
            raise failure_of(error) from error

    async def pages(self, secret: str, method: Any, request: Any) -> AsyncIterator[Any]:
        """All pages of a list."""
        request.page_size = _PAGE
        while True:
            page = await self.ask(secret, method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

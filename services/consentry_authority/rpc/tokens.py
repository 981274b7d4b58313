# ruff: noqa: N802 - methods have the proto's names
"""TokenService: the credentials of everybody who is not a partner's API key."""

from consentry.authority.v1 import tokens_pb2 as pb
from consentry.authority.v1 import tokens_pb2_grpc
from consentry_authority.admission.authentication import SecretMaker
from consentry_authority.admission.gate import calling, origin
from consentry_authority.admission.quotas import KeyQuotas
from consentry_authority.commands.actor import require_own
from consentry_authority.commands.once import once
from consentry_authority.commands.ports import Transaction
from consentry_authority.commands.records import TokenRecord
from consentry_authority.commands.tokens.create_token import NewToken, create_token, permit
from consentry_authority.commands.tokens.delete_token import delete_token
from consentry_authority.commands.tokens.get_token import get_token
from consentry_authority.commands.tokens.list_tokens import list_tokens
from consentry_authority.commands.tokens.who_am_i import who_am_i
from consentry_authority.rpc.once import asked_once
from consentry_authority.rpc.paging import asked_page
from consentry_authority.rpc.receipts import Receipts, check_timeout
from consentry_authority.rpc.wire import (
    ROLE_TO_WIRE,
    optional_instant,
    role_from_wire,
    token_to_wire,
)
from consentry_authority.secrets.format import TOKEN_PREFIX
from consentry_authority.storage.store import Store
from consentry_core.callers.policy import ROLE_OF_CALLER
from consentry_core.protocol.times import optional_timestamp
from consentry_core.rpc.server.open_call import Context
from consentry_core.values import names
from consentry_core.values.encoding import RandomBytes, new_public_id
from consentry_core.values.errors import InvalidArgument
from consentry_core.values.paging import PageTokens


class TokenServicer(tokens_pb2_grpc.TokenServiceServicer):
    """See the proto."""

    def __init__(
        self,
        *,
        store: Store,
        page_tokens: PageTokens,
        secret_maker: SecretMaker,
        random: RandomBytes,
        receipts: Receipts,
        quotas: KeyQuotas,
        most: int,
    ) -> None:
        self._most = most
        self._quotas = quotas
        self._store = store
        self._page_tokens = page_tokens
        self._secret_maker = secret_maker
        self._random = random
        self._receipts = receipts

    async def CreateToken(self, request: pb.CreateTokenRequest, context: Context) -> pb.CreateTokenResponse:
        """See the proto."""
        _check_organization(request.organization)
        for index, name in enumerate(request.partners):
            names.PARTNER.parse(name, f"partners[{index}]")
        actor = calling()
        new = NewToken(
            id=new_public_id(self._random),
            role=permit(actor, role_from_wire(request.role), request.organization),
            organization=request.organization,
            display_name=request.display_name,
            expire_time=optional_instant(request, "expire_time", "expire_time"),
            audience=request.audience,
            partners=tuple(request.partners),
        )
        asked = asked_once(request)
        text, secret = await self._secret_maker.make(TOKEN_PREFIX)

        def create(transaction: Transaction) -> tuple[TokenRecord, bool]:
            return once(
                transaction,
                asked,
                lambda: create_token(transaction, actor, new, secret, most=self._most),
                lambda name: get_token(transaction, *names.TOKEN.parse(name, "name")),
            )

        created, again = (await self._store.write(create, origin=origin())).value
        return pb.CreateTokenResponse(token=token_to_wire(created), secret="" if again else text, secret_already_shown=again)

    async def ListTokens(self, request: pb.ListTokensRequest, context: Context) -> pb.ListTokensResponse:
        """See the proto."""
        organization = request.organization
        _check_organization(organization)
        require_own(calling(), organization)
        asked = asked_page(self._page_tokens, request, organization)
        page = await self._store.read(
            lambda view: list_tokens(view, organization or None, after=asked.after, limit=asked.limit)
        )
        tokens, token = asked.fill(page, token_to_wire)
        return pb.ListTokensResponse(tokens=tokens, next_page_token=token)

    async def DeleteToken(self, request: pb.DeleteTokenRequest, context: Context) -> pb.DeleteTokenResponse:
        """See the proto."""
        (token,) = names.TOKEN.parse(request.name, "name")
        actor = calling()
        check_timeout(request)
        committed = await self._store.write(lambda transaction: delete_token(transaction, actor, token), origin=origin())
        return pb.DeleteTokenResponse(enforcement=await self._receipts.of(committed, request, context))

    async def WhoAmI(self, request: pb.WhoAmIRequest, context: Context) -> pb.WhoAmIResponse:
        """See the proto."""
        actor = calling()
        with await self._quotas.counting(context):
            expire_time = await self._store.read(lambda view: who_am_i(view, actor))
        role = ROLE_OF_CALLER.get(actor.kind)
        return pb.WhoAmIResponse(
            name=actor.credential,
            role=pb.Token.ROLE_UNSPECIFIED if role is None else ROLE_TO_WIRE[role],
            organization=actor.organization,
            expire_time=optional_timestamp(expire_time),
        )


def _check_organization(name: str) -> None:
    if name and not names.PARTNER.matches(name) and not names.CUSTOMER.matches(name):
        raise InvalidArgument(
            "organization",
            f"must be of the form {names.PARTNER.pattern} or {names.CUSTOMER.pattern}, or empty",
            reason="NAME_INVALID",
        )

# ruff: noqa: N802 - methods have the proto's names
"""KeyService: a partner's API keys, their secrets, and the rehearsal of a withdrawal."""

from collections.abc import Collection, Sequence
from typing import Protocol

from consentry.authority.v1 import keys_pb2 as pb
from consentry.authority.v1 import keys_pb2_grpc
from consentry_authority.admission.authentication import SecretMaker
from consentry_authority.admission.gate import calling, origin
from consentry_authority.commands.keys.add_key_customers import add_key_customers
from consentry_authority.commands.keys.create_key import NewKey, create_key
from consentry_authority.commands.keys.delete_key import delete_key
from consentry_authority.commands.keys.disable_key import disable_key
from consentry_authority.commands.keys.enable_key import enable_key
from consentry_authority.commands.keys.get_key import get_key
from consentry_authority.commands.keys.key_customers import MOST_TOLD, check_length, check_named
from consentry_authority.commands.keys.list_keys import list_keys
from consentry_authority.commands.keys.remove_key_customers import remove_key_customers
from consentry_authority.commands.keys.revoke_secret import revoke_secret
from consentry_authority.commands.keys.rotate_key import check_overlap, rotate_key
from consentry_authority.commands.keys.set_rehearsal import set_rehearsal
from consentry_authority.commands.keys.update_key import KeyUpdate, update_key
from consentry_authority.commands.once import once
from consentry_authority.commands.ports import Committed, Transaction, View
from consentry_authority.commands.records import KeyRecord
from consentry_authority.rpc.once import asked_once
from consentry_authority.rpc.own import own_key, own_partner
from consentry_authority.rpc.paging import asked_page
from consentry_authority.rpc.receipts import check_timeout
from consentry_authority.rpc.shared import Shared
from consentry_authority.rpc.wire import (
    customers_from_wire,
    key_to_wire,
    kind_from_wire,
    optional_instant,
    quota_from_wire,
)
from consentry_authority.secrets.format import KEY_PREFIXES
from consentry_core.protocol.times import from_duration
from consentry_core.rpc.server.open_call import Context
from consentry_core.values import names
from consentry_core.values.encoding import new_public_id
from consentry_core.values.paging import page_size
from consentry_rule import CustomerId, KeyId, PartnerId

_DEFAULT_LISTED = 1_000


class Relist(Protocol):
    """A use case that changes a key's list by the customers that are named."""

    def __call__(
        self, transaction: Transaction, partner: PartnerId, key: KeyId, customers: Collection[CustomerId], *, etag: str = ""
    ) -> KeyRecord:
        """The changed key."""
        ...


class KeyServicer(keys_pb2_grpc.KeyServiceServicer):
    """Answers the calls of the service; the proto says what each does."""

    def __init__(self, shared: Shared, secret_maker: SecretMaker, *, most: int) -> None:
        self._store = shared.store
        self._page_tokens = shared.page_tokens
        self._clock = shared.clock
        self._receipts = shared.receipts
        self._random = shared.random
        self._secret_maker = secret_maker
        self._most = most

    async def CreateKey(self, request: pb.CreateKeyRequest, context: Context) -> pb.CreateKeyResponse:
        partner = own_partner(request.parent, "parent")
        actor = calling()
        check_length(request.key.customers)
        new = NewKey(
            partner=partner,
            id=KeyId(new_public_id(self._random)),
            kind=kind_from_wire(request.key.kind, "key.kind"),
            display_name=request.key.display_name,
            customers=customers_from_wire(request.key.customers, "key.customers"),
            expire_time=optional_instant(request.key, "expire_time", "key.expire_time"),
            labels=dict(request.key.labels),
            networks=tuple(request.key.allowed_networks),
            quota=quota_from_wire(request.key.quota),
            audiences=tuple(request.key.audiences),
        )
        asked = asked_once(request)
        text, secret = await self._secret_maker.make(KEY_PREFIXES[new.kind])

        def create(transaction: Transaction) -> tuple[KeyRecord, bool]:
            return once(
                transaction,
                asked,
                lambda: create_key(transaction, actor, new, secret, most=self._most),
                lambda name: get_key(transaction, partner, KeyId(names.KEY.parse(name, "name")[1])),
            )

        created, again = (await self._store.write(create, origin=origin())).value
        return pb.CreateKeyResponse(
            key=key_to_wire(created, self._clock.now()), secret="" if again else text, secret_already_shown=again
        )

    async def GetKey(self, request: pb.GetKeyRequest, context: Context) -> pb.GetKeyResponse:
        partner, key = own_key(request.name, "name")
        question = f"GetKey {request.name}"
        limit = page_size(request.customers_page_size, default=_DEFAULT_LISTED, maximum=MOST_TOLD)
        after = self._page_tokens.read(question, request.customers_page_token)
        paged = request.customers_page_size or request.customers_page_token

        def look(view: View) -> tuple[KeyRecord, Sequence[CustomerId]]:
            found = get_key(view, partner, key)
            return found, view.keys.customers_page(partner, key, after=after, limit=limit + 1) if paged else ()

        found, listed = await self._store.read(look)
        response = pb.GetKeyResponse(key=key_to_wire(found, self._clock.now()))
        if paged:
            response.customers.extend(map(names.CUSTOMER.format, listed[:limit]))
            if len(listed) > limit:
                response.next_customers_page_token = self._page_tokens.make(question, listed[limit - 1])
        return response

    async def ListKeys(self, request: pb.ListKeysRequest, context: Context) -> pb.ListKeysResponse:
        partner = own_partner(request.parent, "parent")
        show_invalid = request.show_invalid
        asked = asked_page(self._page_tokens, request, request.parent, str(show_invalid))
        page = await self._store.read(
            lambda view: list_keys(view, partner, show_invalid=show_invalid, after=asked.after, limit=asked.limit)
        )
        now = self._clock.now()
        keys, token = asked.fill(page, lambda key: key_to_wire(key, now))
        return pb.ListKeysResponse(keys=keys, next_page_token=token)

    async def UpdateKey(self, request: pb.UpdateKeyRequest, context: Context) -> pb.UpdateKeyResponse:
        partner, key = own_key(request.key.name, "key.name")
        check_length(request.key.customers)
        update = KeyUpdate(
            paths=frozenset(request.update_mask.paths),
            display_name=request.key.display_name,
            expire_time=optional_instant(request.key, "expire_time", "key.expire_time"),
            customers=customers_from_wire(request.key.customers, "key.customers"),
            labels=dict(request.key.labels),
            networks=tuple(request.key.allowed_networks),
            quota=quota_from_wire(request.key.quota),
            audiences=tuple(request.key.audiences),
        )
        check_timeout(request)
        committed = await self._store.write(
            lambda transaction: update_key(transaction, partner, key, update, etag=request.key.etag),
            origin=origin(),
        )
        return pb.UpdateKeyResponse(
            key=key_to_wire(committed.value, self._clock.now()),
            enforcement=await self._receipts.of(committed, request, context),
        )

    async def AddKeyCustomers(self, request: pb.AddKeyCustomersRequest, context: Context) -> pb.AddKeyCustomersResponse:
        key, committed = await self._relist(request, add_key_customers)
        return pb.AddKeyCustomersResponse(key=key, enforcement=await self._receipts.of(committed, request, context))

    async def RemoveKeyCustomers(
        self, request: pb.RemoveKeyCustomersRequest, context: Context
    ) -> pb.RemoveKeyCustomersResponse:
        key, committed = await self._relist(request, remove_key_customers)
        return pb.RemoveKeyCustomersResponse(key=key, enforcement=await self._receipts.of(committed, request, context))

    async def _relist(
        self, request: pb.AddKeyCustomersRequest | pb.RemoveKeyCustomersRequest, relist: Relist
    ) -> tuple[pb.Key, Committed[tuple[KeyRecord, bool]]]:
        partner, key = own_key(request.name, "name")
        check_named(request.customers)
        customers, etag = customers_from_wire(request.customers, "customers"), request.etag
        check_timeout(request)
        asked = asked_once(request)

        def change(transaction: Transaction) -> tuple[KeyRecord, bool]:
            return once(
                transaction,
                asked,
                lambda: relist(transaction, partner, key, customers, etag=etag),
                lambda _: get_key(transaction, partner, key),
            )

        committed = await self._store.write(change, origin=origin())
        return key_to_wire(committed.value[0], self._clock.now()), committed

    async def DisableKey(self, request: pb.DisableKeyRequest, context: Context) -> pb.DisableKeyResponse:
        partner, key = own_key(request.name, "name")
        check_timeout(request)
        committed = await self._store.write(
            lambda transaction: disable_key(transaction, partner, key, etag=request.etag),
            origin=origin(),
        )
        return pb.DisableKeyResponse(
            key=key_to_wire(committed.value, self._clock.now()),
            enforcement=await self._receipts.of(committed, request, context),
        )

    async def EnableKey(self, request: pb.EnableKeyRequest, context: Context) -> pb.EnableKeyResponse:
        partner, key = own_key(request.name, "name")
        committed = await self._store.write(
            lambda transaction: enable_key(transaction, partner, key, etag=request.etag), origin=origin()
        )
        return pb.EnableKeyResponse(key=key_to_wire(committed.value, self._clock.now()))

    async def DeleteKey(self, request: pb.DeleteKeyRequest, context: Context) -> pb.DeleteKeyResponse:
        partner, key = own_key(request.name, "name")
        check_timeout(request)
        committed = await self._store.write(
            lambda transaction: delete_key(transaction, partner, key, etag=request.etag), origin=origin()
        )
        return pb.DeleteKeyResponse(enforcement=await self._receipts.of(committed, request, context))

    async def RotateKey(self, request: pb.RotateKeyRequest, context: Context) -> pb.RotateKeyResponse:
        partner, key = own_key(request.name, "name")
        overlap, etag = from_duration(request.overlap), request.etag
        check_overlap(overlap)
        check_timeout(request)
        asked = asked_once(request)
        found = await self._store.read(lambda view: get_key(view, partner, key))  # before anything that costs
        text, secret = await self._secret_maker.make(KEY_PREFIXES[found.kind])

        def rotate(transaction: Transaction) -> tuple[KeyRecord, bool]:
            return once(
                transaction,
                asked,
                lambda: rotate_key(transaction, partner, key, secret, overlap, etag=etag),
                lambda _: transaction.keys.rotated(get_key(transaction, partner, key)),
            )

        committed = await self._store.write(rotate, origin=origin())
        rotated, again = committed.value
        return pb.RotateKeyResponse(
            key=key_to_wire(rotated, self._clock.now()),
            secret="" if again else text,
            secret_already_shown=again,
            enforcement=await self._receipts.of(committed, request, context),
        )

    async def RevokeSecret(self, request: pb.RevokeSecretRequest, context: Context) -> pb.RevokeSecretResponse:
        actor = calling()
        check_timeout(request)
        committed = await self._store.write(lambda transaction: revoke_secret(transaction, actor), origin=origin())
        return pb.RevokeSecretResponse(
            credential=actor.credential,
            hint=committed.value,
            enforcement=await self._receipts.of(committed, request, context),
        )

    async def SetRehearsal(self, request: pb.SetRehearsalRequest, context: Context) -> pb.SetRehearsalResponse:
        partner, rehearsing = own_partner(request.partner, "partner"), request.rehearsing
        check_timeout(request)
        committed = await self._store.write(
            lambda transaction: set_rehearsal(transaction, partner, rehearsing=rehearsing),
            origin=origin(),
        )
        return pb.SetRehearsalResponse(rehearsing=rehearsing, enforcement=await self._receipts.of(committed, request, context))

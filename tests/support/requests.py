"""One good request for every method of both services, in the world of `support.world`; and ways to spoil it.

Those that take something away take it from east, from rival or from what is spare: the others go on being answered.

A test holds the table equal to the services' methods, and holds every text of every request to be either a name (set in the
table, so that it gets spoilt) or among `TEXTS`.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from consentry.authority.v1 import consent_pb2, coverage_pb2, directory_pb2, enforcement_pb2, keys_pb2, tokens_pb2
from consentry.devices.v1 import alarms_pb2, feed_pb2, gateway_pb2, inventory_pb2, telemetry_pb2
from consentry_core.protocol.times import to_timestamp
from consentry_core.values.clock import SECOND
from consentry_rule import Instant
from support.gateways import EPOCH, alarm, readings
from support.world import REPORTED_KEY, World

_A, _D = "/consentry.authority.v1.", "/consentry.devices.v1."
NORTH, EAST, ACME = "customers/north", "customers/east", "partners/acme"
_UPS, _LOAD, _POWER = f"{NORTH}/devices/ups", f"{NORTH}/devices/ups/sensors/load", f"{NORTH}/alarms/power"
_PAID = directory_pb2.Subscription(plan=directory_pb2.Subscription.PLAN_PAID)

Requests: TypeAlias = Sequence[Message]


def _publish(world: World) -> Requests:
    frame = readings(6, world.now, 5.0)
    frame.inventory.locations.add(name=f"{NORTH}/locations/rack", parent=f"{NORTH}/locations/site")
    frame.inventory.devices.add(name=f"{NORTH}/devices/bank", parent=_UPS, location=f"{NORTH}/locations/site")
    frame.alarms.append(alarm(world.now, id="smoke"))
    frame.inventory.deleted_locations.append(f"{NORTH}/locations/former")
    frame.inventory.deleted_devices.append(f"{NORTH}/devices/former")
    frame.inventory.deleted_sensors.append(f"{_UPS}/sensors/former")
    frame.loss.start_time.CopyFrom(to_timestamp(Instant(world.now)))
    frame.loss.end_time.CopyFrom(to_timestamp(Instant(world.now)))
    request = gateway_pb2.PublishRequest
    return (request(hello=request.Hello(gateway="gw", epoch=EPOCH)), request(frame=frame))


def _follow(world: World) -> Requests:
    request = enforcement_pb2.FollowRequest
    names = [world.keys["all key"].name, world.token, f"{NORTH}/consents/acme", ACME]
    proof = request.Proofs.Proof
    proofs = [proof(credential=name, proof=world.proofs[name]) for name in names[:2]]
    return (
        request(hello=request.Hello(incarnation="incarnation-0123456789", service="test")),
        request(proofs=request.Proofs(proofs=proofs)),
        request(interest=request.Interest(number=1, names=names)),
        request(forget=request.Forget(names=names)),
    )


def _key(world: World) -> str:
    return world.keys["spare key"].name


GOOD: Mapping[str, Callable[[World], Message | Requests]] = {
    f"{_A}DirectoryService/CreatePartner": lambda _: directory_pb2.CreatePartnerRequest(
        partner_id="newcomer", partner=directory_pb2.Partner(display_name="Newcomer")
    ),
    f"{_A}DirectoryService/GetPartner": lambda _: directory_pb2.GetPartnerRequest(name=ACME),
    f"{_A}DirectoryService/ListPartners": lambda _: directory_pb2.ListPartnersRequest(),
    f"{_A}DirectoryService/CreateCustomer": lambda _: directory_pb2.CreateCustomerRequest(
        customer_id="newcomer", customer=directory_pb2.Customer(display_name="Newcomer", subscription=_PAID)
    ),
    f"{_A}DirectoryService/GetCustomer": lambda _: directory_pb2.GetCustomerRequest(name=NORTH),
    f"{_A}DirectoryService/ListCustomers": lambda _: directory_pb2.ListCustomersRequest(),
    f"{_A}DirectoryService/SetSubscription": lambda _: directory_pb2.SetSubscriptionRequest(customer=EAST, subscription=_PAID),
    f"{_A}DirectoryService/CancelSubscription": lambda _: directory_pb2.CancelSubscriptionRequest(customer=EAST),
    f"{_A}DirectoryService/ConnectCustomer": lambda _: directory_pb2.ConnectCustomerRequest(partner=ACME, customer=NORTH),
    f"{_A}DirectoryService/DisconnectCustomer": lambda _: directory_pb2.DisconnectCustomerRequest(partner=ACME, customer=EAST),
    f"{_A}DirectoryService/ListConnections": lambda _: directory_pb2.ListConnectionsRequest(parent=ACME),
    f"{_A}TokenService/CreateToken": lambda _: tokens_pb2.CreateTokenRequest(
        role=tokens_pb2.Token.ROLE_PARTNER_ADMIN, organization=ACME, display_name="Another"
    ),
    f"{_A}TokenService/ListTokens": lambda _: tokens_pb2.ListTokensRequest(organization=ACME),
    f"{_A}TokenService/DeleteToken": lambda world: tokens_pb2.DeleteTokenRequest(name=world.token),
    f"{_A}TokenService/WhoAmI": lambda _: tokens_pb2.WhoAmIRequest(),
    f"{_A}ConsentService/GrantConsent": lambda _: consent_pb2.GrantConsentRequest(
        customer=NORTH, partner="partners/rival", purpose="operations"
    ),
    f"{_A}ConsentService/RevokeConsent": lambda _: consent_pb2.RevokeConsentRequest(customer=NORTH, partner="partners/rival"),
    f"{_A}ConsentService/GetConsent": lambda _: consent_pb2.GetConsentRequest(name=f"{NORTH}/consents/acme"),
    f"{_A}ConsentService/ListConsents": lambda _: consent_pb2.ListConsentsRequest(parent=NORTH),
    f"{_A}ConsentService/ListConsentEvents": lambda _: consent_pb2.ListConsentEventsRequest(parent=NORTH, partner=ACME),
    f"{_A}ConsentService/ListAccesses": lambda _: consent_pb2.ListAccessesRequest(parent=NORTH, reader=REPORTED_KEY),
    f"{_A}KeyService/CreateKey": lambda _: keys_pb2.CreateKeyRequest(
        parent=ACME, key=keys_pb2.Key(kind=keys_pb2.Key.KIND_SPECIFIC_CUSTOMERS, customers=[NORTH, EAST])
    ),
    f"{_A}KeyService/GetKey": lambda world: keys_pb2.GetKeyRequest(name=_key(world)),
    f"{_A}KeyService/ListKeys": lambda _: keys_pb2.ListKeysRequest(parent=ACME),
    f"{_A}KeyService/UpdateKey": lambda world: keys_pb2.UpdateKeyRequest(
        key=keys_pb2.Key(name=_key(world), customers=[EAST]), update_mask=FieldMask(paths=["customers"])
    ),
    f"{_A}KeyService/AddKeyCustomers": lambda world: keys_pb2.AddKeyCustomersRequest(name=_key(world), customers=[NORTH, EAST]),
    f"{_A}KeyService/RemoveKeyCustomers": lambda world: keys_pb2.RemoveKeyCustomersRequest(name=_key(world), customers=[NORTH]),
    f"{_A}KeyService/DisableKey": lambda world: keys_pb2.DisableKeyRequest(name=_key(world)),
    f"{_A}KeyService/EnableKey": lambda world: keys_pb2.EnableKeyRequest(name=_key(world)),
    f"{_A}KeyService/DeleteKey": lambda world: keys_pb2.DeleteKeyRequest(name=_key(world)),
    f"{_A}KeyService/RotateKey": lambda world: keys_pb2.RotateKeyRequest(name=_key(world)),
    f"{_A}KeyService/RevokeSecret": lambda _: keys_pb2.RevokeSecretRequest(),
    f"{_A}KeyService/SetRehearsal": lambda _: keys_pb2.SetRehearsalRequest(partner=ACME),
    f"{_A}CoverageService/ListCoveredCustomers": lambda _: coverage_pb2.ListCoveredCustomersRequest(),
    f"{_A}CoverageService/WatchCoverage": lambda _: coverage_pb2.WatchCoverageRequest(),
    f"{_A}EnforcementService/VerifyCredential": lambda world: enforcement_pb2.VerifyCredentialRequest(
        secret=world.secrets["all key"], peer="ipv4:192.0.2.1:50000"
    ),
    f"{_A}EnforcementService/Follow": _follow,
    f"{_A}EnforcementService/ReportAccesses": lambda world: enforcement_pb2.ReportAccessesRequest(
        incarnation="incarnation-9876543210",
        service="test",
        number=1,
        start_time=to_timestamp(Instant(world.now - SECOND)),
        end_time=to_timestamp(Instant(world.now)),
        counts=[
            enforcement_pb2.AccessCount(
                key=world.keys["all key"].name, customer=NORTH, hour=to_timestamp(Instant(world.now)), messages=1
            )
        ],
        refused_calls=[
            enforcement_pb2.RefusedCall(
                caller=world.keys["all key"].name,
                method="/consentry.devices.v1.FeedService/Watch",
                reason="KEY_DISABLED",
                peer="ipv4:192.0.2.1:50000",
                refuse_time=to_timestamp(Instant(world.now)),
            )
        ],
        left_out=[enforcement_pb2.LeftOut(reason="KEY_DISABLED", count=1)],
    ),
    f"{_A}EnforcementService/GetEnforcement": lambda world: enforcement_pb2.GetEnforcementRequest(revision=world.revision),
    f"{_A}EnforcementService/ListEnforcementPoints": lambda _: enforcement_pb2.ListEnforcementPointsRequest(),
    f"{_D}AlarmService/GetAlarm": lambda _: alarms_pb2.GetAlarmRequest(name=_POWER),
    f"{_D}AlarmService/ListAlarmEvents": lambda _: alarms_pb2.ListAlarmEventsRequest(parent=_POWER),
    f"{_D}AlarmService/ListAlarms": lambda _: alarms_pb2.ListAlarmsRequest(parent=NORTH),
    f"{_D}FeedService/Watch": lambda _: feed_pb2.WatchRequest(customers=[NORTH, EAST], devices=[_UPS], stop_when_synced=True),
    f"{_D}GatewayService/Publish": _publish,
    f"{_D}InventoryService/GetDevice": lambda _: inventory_pb2.GetDeviceRequest(name=_UPS),
    f"{_D}InventoryService/ListDevices": lambda _: inventory_pb2.ListDevicesRequest(parent=NORTH),
    f"{_D}InventoryService/ListLocations": lambda _: inventory_pb2.ListLocationsRequest(parent=NORTH),
    f"{_D}InventoryService/ListSensors": lambda _: inventory_pb2.ListSensorsRequest(parent=NORTH),
    f"{_D}TelemetryService/QueryHistory": lambda world: telemetry_pb2.QueryHistoryRequest(
        parent=NORTH, devices=[_UPS], sensors=[_LOAD], start_time=to_timestamp(Instant(world.now - 3600 * SECOND))
    ),
    f"{_D}TelemetryService/SimulateTelemetry": lambda _: telemetry_pb2.SimulateTelemetryRequest(),
    f"{_D}TelemetryService/QueryLatest": lambda _: telemetry_pb2.QueryLatestRequest(
        parent=NORTH, devices=[_UPS], sensors=[_LOAD, f"{_UPS}/sensors/charge"]
    ),
}

TEXTS = frozenset(
    {
        "display_name", "purpose", "etag", "page_token", "secret", "peer", "epoch", "incarnation", "service", "after_cursor",
        "after_revision", "at_least_revision", "revision", "paths", "label", "message", "text", "metric", "unit", "model_name",
        "serial_number", "gateways", "hint", "creator", "request_id",
        "customers_page_token", "secret_id", "key", "value", "method", "reason", "allowed_networks", "audience", "audiences",
    }
)  # fmt: skip
"""Fields with texts that are not resource names."""

OUTPUT_ONLY = frozenset(
    {
        "consentry.authority.v1.CreatePartnerRequest.partner.name",
        "consentry.authority.v1.CreateCustomerRequest.customer.name",
        "consentry.authority.v1.CreateKeyRequest.key.name",
    }
)
"""Names in a resource that is being created: the server writes them, whatever is sent."""

ELSEWHERE = frozenset({"consentry.authority.v1.CreateTokenRequest.partners"})
"""Names that go with nothing else of the good request; `test_reach_of_services` spoils them."""

OPTIONAL = frozenset({"ListConnectionsRequest.parent", "ListConsentEventsRequest.partner",
                      "ListAccessesRequest.reader", "ListTokensRequest.organization", "CreateTokenRequest.organization",
                      "Location.parent", "Device.parent",
                      "Device.location"})  # fmt: skip
"""Names that may be left out."""


def good(world: World, path: str) -> Requests:
    """The messages of a request that would be answered."""
    made = GOOD[path](world)
    return (made,) if isinstance(made, Message) else made


@dataclass(frozen=True, slots=True)
class Text:
    """One text in a request: the message it is in, its path as errors name it, what it is, and how to replace it."""

    message: int
    path: str
    field: FieldDescriptor
    value: str
    _steps: tuple[tuple[str, int | None], ...]

    @property
    def optional(self) -> bool:
        """Whether it may be empty."""
        assert self.field.containing_type is not None
        return f"{self.field.containing_type.name}.{self.field.name}" in OPTIONAL

    def replaced(self, requests: Requests, text: str) -> Requests:
        """The request with another text in this place."""
        changed = copy.deepcopy(list(requests))
        holder: Any = changed[self.message]
        *way, (name, index) = self._steps
        for step, place in way:
            holder = getattr(holder, step) if place is None else getattr(holder, step)[place]
        if index is None:
            setattr(holder, name, text)
        else:
            getattr(holder, name)[index] = text
        return changed


def names_in(requests: Requests) -> Iterator[Text]:
    """Every resource name, and every new resource's id, in a request."""
    for number, message in enumerate(requests):
        for text in _texts(message, number, ()):
            if text.field.name not in TEXTS:
                yield text


def _texts(message: Message, number: int, steps: tuple[tuple[str, int | None], ...]) -> Iterator[Text]:
    for field, value in message.ListFields():
        items = list(enumerate(value)) if field.is_repeated else [(None, value)]
        for index, item in items:
            here = (*steps, (field.name, index))
            if field.message_type is not None:
                yield from _texts(item, number, here)
            elif field.type == FieldDescriptor.TYPE_STRING:
                path = ".".join(name if place is None else f"{name}[{place}]" for name, place in here)
                yield Text(number, path, field, item, here)

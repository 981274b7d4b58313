"""Every method of both services, with every kind of caller, about its own organisation and about another's.

The methods come from the descriptors, the calls from `support.requests`, what happens from the services as they run. What must
come out is written down here, and nowhere derived: a change of who may do what is a change of this table.

    -     not for callers of this kind
    own   about the caller's own organisation, and refused about any other's
    all   about every organisation, or about none: the request names none, or the caller acts for all

What the caller's own organisation is: of a key, the customers that it covers; of an administrator, its partner or customer; of
a gateway, its customer. Which customers keys of each kind cover is the matter of `test_role_matrix_devices`.
"""

from collections.abc import Iterator, Mapping

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from consentry.authority.v1 import consent_pb2, directory_pb2, enforcement_pb2, keys_pb2, tokens_pb2
from consentry_core.callers.policy import Caller
from consentry_core.rpc.client.channels import bearer
from support.calls import METHODS, POLICIES, Answer
from support.requests import NORTH, Requests, good, names_in
from support.world import World

TABLE = """
                                           key   operator  partner   customer  gateway  service
                                                           admin     admin
authority.v1.ConsentService
  GetConsent                               -     -         -         own       -        -
  GrantConsent                             -     -         -         own       -        -
  ListAccesses                             -     -         -         own       -        -
  ListConsentEvents                        -     -         -         own       -        -
  ListConsents                             -     -         -         own       -        -
  RevokeConsent                            -     -         -         own       -        -
authority.v1.CoverageService
  ListCoveredCustomers                     all   -         -         -         -        -
  WatchCoverage                            all   -         -         -         -        -
authority.v1.DirectoryService
  CancelSubscription                       -     all       -         -         -        -
  ConnectCustomer                          -     all       -         -         -        -
  CreateCustomer                           -     all       -         -         -        -
  CreatePartner                            -     all       -         -         -        -
  DisconnectCustomer                       -     all       -         -         -        -
  GetCustomer                              -     all       -         -         -        -
  GetPartner                               -     all       -         -         -        -
  ListConnections                          -     all       own       own       -        -
  ListCustomers                            -     all       -         -         -        -
  ListPartners                             -     all       -         -         -        -
  SetSubscription                          -     all       -         -         -        -
authority.v1.EnforcementService
  Follow                                   -     -         -         -         -        all
  GetEnforcement                           -     all       own       own       -        -
  ListEnforcementPoints                    -     all       -         -         -        -
  ReportAccesses                           -     -         -         -         -        all
  VerifyCredential                         -     -         -         -         -        all
authority.v1.KeyService
  AddKeyCustomers                          -     -         own       -         -        -
  CreateKey                                -     -         own       -         -        -
  DeleteKey                                -     -         own       -         -        -
  DisableKey                               -     -         own       -         -        -
  EnableKey                                -     -         own       -         -        -
  GetKey                                   -     -         own       -         -        -
  ListKeys                                 -     -         own       -         -        -
  RemoveKeyCustomers                       -     -         own       -         -        -
  RevokeSecret                             all   all       all       all       all      all
  RotateKey                                -     -         own       -         -        -
  SetRehearsal                             -     -         own       -         -        -
  UpdateKey                                -     -         own       -         -        -
authority.v1.TokenService
  CreateToken                              -     all       own       own       -        -
  DeleteToken                              -     all       own       own       -        -
  ListTokens                               -     all       own       own       -        -
  WhoAmI                                   all   all       all       all       all      all
devices.v1.AlarmService
  GetAlarm                                 own   -         -         -         -        -
  ListAlarmEvents                          own   -         -         -         -        -
  ListAlarms                               own   -         -         -         -        -
devices.v1.FeedService
  Watch                                    own   -         -         -         -        -
devices.v1.GatewayService
  Publish                                  -     -         -         -         own      -
devices.v1.InventoryService
  GetDevice                                own   -         -         -         -        -
  ListDevices                              own   -         -         -         -        -
  ListLocations                            own   -         -         -         -        -
  ListSensors                              own   -         -         -         -        -
devices.v1.TelemetryService
  QueryHistory                             own   -         -         -         -        -
  QueryLatest                              own   -         -         -         -        -
  SimulateTelemetry                        all   -         -         -         -        -
"""

_WIDTHS = "{:<6}{:<10}{:<10}{:<10}{:<9}{}"
COLUMNS = (Caller.KEY, Caller.OPERATOR, Caller.PARTNER_ADMIN, Caller.CUSTOMER_ADMIN, Caller.GATEWAY, Caller.SERVICE)
OWN = {
    Caller.KEY: "all key",
    Caller.OPERATOR: "operator",
    Caller.PARTNER_ADMIN: "admin of acme",
    Caller.CUSTOMER_ADMIN: "admin of north",
    Caller.GATEWAY: "gateway of north",
    Caller.SERVICE: "service",
}
FOREIGN = OWN | {
    Caller.PARTNER_ADMIN: "admin of rival",
    Caller.CUSTOMER_ADMIN: "admin of south",
    Caller.GATEWAY: "gateway of south",
}
"""Who asks about acme and north, and is neither. A key asks about south instead."""

REFUSED_AS_FOREIGN = {"NOT_YOUR_ORGANIZATION", "NOT_COVERED", "FOREIGN_CUSTOMER"}
LAST = ("Cancel", "Disconnect", "Delete")  # so that what they take away is there for the others


def test_the_table_is_the_policies() -> None:
    """The same callers in both: the table is checked against what happens, and nothing is let in that it does not have."""
    assert set(POLICIES) == set(METHODS)
    expected = {
        path: {caller for caller, cell in zip(COLUMNS, cells, strict=True) if cell != "-"} for path, cells in rows(TABLE)
    }
    assert expected == {path: set(callers) for path, callers in POLICIES.items()}


async def test_what_every_kind_of_caller_can_do_is_what_the_table_says(world: World) -> None:
    requests = await _requests_of_customers(world)
    # Not waited for: the last one is the guard's own.
    revoke = keys_pb2.RevokeSecretRequest(enforcement_timeout=Duration())
    requests |= {("/consentry.authority.v1.KeyService/RevokeSecret", caller): revoke for caller in COLUMNS}
    # All of the foreign ones first: none of them changes anything.
    with world.nothing_written():
        foreign = {
            (path, caller): await _call(world, path, caller, requests, own=False)
            for path in METHODS
            for caller in COLUMNS
            if not _answered_alike(path, caller)
        }
    own = {
        (path, caller): await _call(world, path, caller, requests, own=True)
        for path in sorted(METHODS, key=_when)
        for caller in COLUMNS
    }
    found = {path: [_cell(own[path, caller], foreign.get((path, caller))) for caller in COLUMNS] for path in METHODS}
    assert written(found) == TABLE.splitlines()


def _when(path: str) -> tuple[bool, bool, str]:
    method = path.rpartition("/")[2]
    return method == "RevokeSecret", method.startswith(LAST), path  # the first ends everybody's own credential


def _answered_alike(path: str, caller: Caller) -> bool:
    """Whether there is no other organisation: the caller has none, or the request is about its credential alone."""
    return caller in POLICIES[path] and (FOREIGN[caller] == OWN[caller] != "all key" or path.endswith("/RevokeSecret"))


async def _call(
    world: World, path: str, caller: Caller, requests: Mapping[tuple[str, Caller], Message], *, own: bool
) -> Answer:
    messages: Requests = good(world, path)
    if (path, caller) in requests:
        messages = [requests[path, caller]]
    if caller is Caller.KEY and not own:
        for text in tuple(names_in(messages)):
            messages = text.replaced(messages, text.value.replace(NORTH, "customers/south").replace("east", "south"))
    return await world.call(path, messages, secret=(OWN if own else FOREIGN)[caller])


async def _requests_of_customers(world: World) -> dict[tuple[str, Caller], Message]:
    """Requests about north where the good ones are about acme."""
    authority, admin = world.pair.authority, bearer(world.secrets["admin of north"])
    spare = await authority.token(tokens_pb2.Token.ROLE_CUSTOMER_ADMIN, NORTH)
    world.secrets["another of north"] = spare.secret
    revoke = consent_pb2.RevokeConsentRequest(customer=NORTH, partner="partners/rival")
    revoked = await authority.consents.RevokeConsent(revoke, metadata=admin)
    grant = consent_pb2.GrantConsentRequest(customer=NORTH, partner="partners/rival")
    await authority.consents.GrantConsent(grant, metadata=admin)
    service = "/consentry.authority.v1."
    return {
        (service + path, Caller.CUSTOMER_ADMIN): request
        for path, request in {
            "DirectoryService/ListConnections": directory_pb2.ListConnectionsRequest(parent=NORTH),
            "EnforcementService/GetEnforcement": enforcement_pb2.GetEnforcementRequest(revision=revoked.enforcement.revision),
            "TokenService/CreateToken": tokens_pb2.CreateTokenRequest(role=tokens_pb2.Token.ROLE_GATEWAY, organization=NORTH),
            "TokenService/ListTokens": tokens_pb2.ListTokensRequest(organization=NORTH),
            "TokenService/DeleteToken": tokens_pb2.DeleteTokenRequest(name=spare.token.name),
        }.items()
    }


def _cell(own: Answer, foreign: Answer | None) -> str:
    # An administrator deletes what an operator has deleted already: it is not refused, it is told so.
    if own.refusal is not None and own.code is not grpc.StatusCode.NOT_FOUND:
        refused_alike = foreign is not None and foreign.refusal == own.refusal
        return "-" if refused_alike and own.refusal.reason == "CALLER_NOT_ALLOWED" else f"refused: {own.refusal.reason}"
    if foreign is None or foreign.refusal is None:
        return "all"
    return "own" if foreign.refusal.reason in REFUSED_AS_FOREIGN else f"own, else {foreign.refusal.reason}"


def rows(table: str) -> Iterator[tuple[str, list[str]]]:
    """Path and cells of each method."""
    service = ""
    for line in table.splitlines()[3:]:
        if line.startswith("  "):
            method, *cells = line.split()
            yield f"/consentry.{service}/{method}", cells
        else:
            service = line


def written(found: Mapping[str, list[str]]) -> list[str]:
    """The lines of the table, as it stands above."""
    lines, service = TABLE.splitlines()[:3], ""
    for path in sorted(found):
        its, _, method = path.removeprefix("/consentry.").partition("/")
        if its != service:
            lines.append(its)
            service = its
        lines.append(f"  {method:<41}{_WIDTHS.format(*found[path])}")
    return lines

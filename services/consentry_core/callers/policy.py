"""Who may call what: a caller kind per method. What is not in the table is refused."""

from collections.abc import Mapping
from enum import Enum

from consentry_core.values.errors import PermissionDenied
from consentry_rule import Key, Token, TokenRole


class Caller(Enum):
    """What a caller authenticated with."""

    KEY = "an API key"
    OPERATOR = "an operator's token"
    PARTNER_ADMIN = "a partner administrator's token"
    CUSTOMER_ADMIN = "a customer administrator's token"
    GATEWAY = "a gateway's token"
    SERVICE = "a service's token"


ANYONE_KNOWN = frozenset(Caller)

CALLER_OF_ROLE = {
    TokenRole.OPERATOR: Caller.OPERATOR,
    TokenRole.PARTNER_ADMIN: Caller.PARTNER_ADMIN,
    TokenRole.CUSTOMER_ADMIN: Caller.CUSTOMER_ADMIN,
    TokenRole.GATEWAY: Caller.GATEWAY,
    TokenRole.SERVICE: Caller.SERVICE,
}
ROLE_OF_CALLER = {caller: role for role, caller in CALLER_OF_ROLE.items()}

# Health and reflection tell nothing that is anybody's secret, and load balancers and grpcurl have no credential. This list is
# pinned by a test: a new public method is a reviewed change.
PUBLIC_METHODS = frozenset(
    {
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/List",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    }
)

Policies = Mapping[str, frozenset[Caller]]


def require_allowed(policies: Policies, method: str, kind: Caller) -> None:
    """PermissionDenied unless the method is for callers of this kind."""
    allowed = policies.get(method, frozenset())
    if kind not in allowed:
        raise PermissionDenied(
            f"this method is not for {kind.value}; it takes " + " or ".join(sorted(each.value for each in allowed)),
            reason="CALLER_NOT_ALLOWED",
        )


def caller_kind(credential: Key | Token) -> Caller:
    """What the holder of a credential calls with."""
    return Caller.KEY if isinstance(credential, Key) else CALLER_OF_ROLE[credential.role]

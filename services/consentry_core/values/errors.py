"""Everything that our code refuses, as exceptions. Translated to a gRPC status in one place, `consentry_core.rpc.errors`.

    ConsentryError
     +-- Unauthenticated        no credential, or none that counts
     +-- PermissionDenied       the credential counts, and does not reach this far
     +-- InvalidArgument        the request can never succeed as it is; says which field
     +-- NotFound               not there, to one who may know
     +-- AlreadyExists          there already
     +-- FailedPrecondition     the state does not allow it; says which
     +-- Aborted                somebody else was first
     +-- OutOfRange             asked for what is no longer kept
     +-- Unavailable            come back later
     +-- ResourceExhausted      come back slower

A message says what to do about it. It never holds a secret, and never tells one organisation of another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from consentry_core.values.reasons import ErrorReason
from consentry_rule import Deny, Reason

_NO_METADATA: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong with a request: the field's path as the client spells it, and what to do.

    In a precondition `field` is the subject's name, and `reason` says why, where it is not the error's own reason.
    """

    field: str
    description: str
    reason: str = ""


class ConsentryError(Exception):
    """A refusal. `reason` is stable (`google.rpc.ErrorInfo.reason`), the message is for people."""

    default_reason: ErrorReason

    def __init__(self, message: str, *, reason: str | None = None, metadata: Mapping[str, str] = _NO_METADATA) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata = metadata


class Unauthenticated(ConsentryError):
    """No credential, or none that counts. One answer for malformed, forged, unknown and deleted.

    `detail` says which, for the audit log: it is told to nobody. Nor is `source`: what many of these have in common when one
    client makes them, where that is not who calls.
    """

    default_reason = ErrorReason.CREDENTIAL_INVALID
    source = ""

    def __init__(
        self,
        message: str,
        *,
        detail: str = "",
        reason: str | None = None,
        metadata: Mapping[str, str] = _NO_METADATA,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata)
        self.detail = detail


class PermissionDenied(ConsentryError):
    """The credential counts, and does not reach this far."""

    default_reason = ErrorReason.PERMISSION_DENIED


class InvalidArgument(ConsentryError):
    """The request can never succeed as it is."""

    default_reason = ErrorReason.INVALID_ARGUMENT

    def __init__(
        self,
        field: str,
        description: str,
        *,
        also: Sequence[Violation] = (),
        reason: str | None = None,
        metadata: Mapping[str, str] = _NO_METADATA,
    ) -> None:
        super().__init__(f"{field}: {description}" if field else description, reason=reason, metadata=metadata)
        self.violations = (Violation(field, description), *also)


class NotFound(ConsentryError):
    """Not there, said only to one who may know."""

    default_reason = ErrorReason.NOT_FOUND


class AlreadyExists(ConsentryError):
    """The resource exists already."""

    default_reason = ErrorReason.ALREADY_EXISTS


class FailedPrecondition(ConsentryError):
    """The state does not allow it. `violations` names what would have to change: a subject's name and what to do about it."""

    default_reason = ErrorReason.FAILED_PRECONDITION

    def __init__(
        self,
        message: str,
        *,
        violations: Sequence[Violation] = (),
        reason: str | None = None,
        metadata: Mapping[str, str] = _NO_METADATA,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata)
        self.violations = tuple(violations)


class Aborted(ConsentryError):
    """Somebody else changed it first: read again, then try again."""

    default_reason = ErrorReason.ETAG_MISMATCH


class OutOfRange(ConsentryError):
    """Asked for what is no longer kept, or never was in this store."""

    default_reason = ErrorReason.RESYNC_REQUIRED


class _ComeBack(ConsentryError):
    """A refusal that passes by itself; `retry_after` in seconds."""

    def __init__(
        self,
        message: str,
        *,
        retry_after: float = 1.0,
        reason: str | None = None,
        metadata: Mapping[str, str] = _NO_METADATA,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata)
        self.retry_after = retry_after


class Unavailable(_ComeBack):
    """Not now: the caller may come back later."""

    default_reason = ErrorReason.UNAVAILABLE


class ResourceExhausted(_ComeBack):
    """Too much: the caller may come back, and ask less."""

    default_reason = ErrorReason.RESOURCE_EXHAUSTED


_WHAT_TO_DO = {
    Reason.KEY_DISABLED: "the credential is disabled; its organisation's administrator can enable it",
    Reason.NETWORK_NOT_ALLOWED: "the key cannot be used from this network; its organisation's administrator can add it",
    Reason.AUDIENCE_NOT_NAMED: "the key is not for this service; its organisation's administrator can add the audience",
    Reason.PARTNER_NOT_NAMED: "this service does not deal with the organisation; its operator can issue another token",
    Reason.NOT_DEMO_CUSTOMER: "a demo key covers only the demo customer; use a key of another kind",
    Reason.DEMO_CUSTOMER: "only demo keys cover the demo customer; create one",
    Reason.REHEARSING_WITHDRAWAL: "your organisation is rehearsing a withdrawal on the demo customer; end the rehearsal",
    Reason.NOT_ON_KEY: "the customer is not on this key's list; add it, or use a key that covers it",
    Reason.NOT_CONNECTED: "the customer is no longer connected to your organisation",
    Reason.SUBSCRIPTION_MISSING: "the customer has no subscription",
    Reason.SUBSCRIPTION_CANCELLED: "the customer's subscription was cancelled",
    Reason.SUBSCRIPTION_EXPIRED: "the customer's subscription has ended",
    Reason.CONSENT_MISSING: "the customer has not consented; ask its administrator to grant access",
    Reason.CONSENT_REVOKED: "the customer revoked its consent; stop using its data, or ask it to grant access again",
    Reason.CONSENT_EXPIRED: "the customer's consent has ended; ask its administrator to grant access again",
    Reason.DATA_CLASS_NOT_CONSENTED: "the customer's consent does not include this class of data",
    Reason.DATA_NOT_OPENED: "the data is older than the customer's consent opens",
}


def denied(denial: Deny, *, subject: str = "", may_know: bool = True) -> Unauthenticated | PermissionDenied:
    """The error for a denial of the rule.

    `subject` is the customer's name as the caller gave it. With `may_know` False the answer is the same for every such name,
    whether the customer exists or not.
    """
    if denial.reason is Reason.KEY_DELETED:
        return Unauthenticated("the credential is not valid")
    if denial.reason is Reason.KEY_EXPIRED:
        return Unauthenticated("the credential has reached its end; use another one", reason=ErrorReason.CREDENTIAL_EXPIRED)
    metadata = {"customer": subject} if subject else {}
    if not may_know:
        return PermissionDenied(
            "the key does not cover this customer; list what it covers with CoverageService.ListCoveredCustomers",
            reason=ErrorReason.NOT_COVERED,
            metadata=metadata,
        )
    return PermissionDenied(_WHAT_TO_DO[denial.reason], reason=denial.reason.value, metadata=metadata)

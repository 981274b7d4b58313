"""Change what a key is called, when it ends, which customers it covers, where, from where and how much it can be used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from consentry_authority.commands import checks
from consentry_authority.commands.keys import key_terms
from consentry_authority.commands.keys.get_key import get_key
from consentry_authority.commands.keys.key_customers import check_list, require_valid
from consentry_authority.commands.ports import KeyChanges, ListChange, Transaction
from consentry_authority.commands.records import KeyRecord
from consentry_core.values.errors import InvalidArgument
from consentry_core.values.reasons import ErrorReason
from consentry_rule import NO_QUOTA, CustomerId, Instant, KeyId, PartnerId, Quota

_PATHS = (
    "allowed_networks", "audiences", "customers", "display_name", "expire_time", "labels", "quota", "quota.calls_per_minute",
    "quota.open_streams",
)  # fmt: skip
_LABEL = "labels."


@dataclass(frozen=True, slots=True)
class KeyUpdate:
    """What is to change: only what `paths` names, of labels and quota also a part (`labels.team`, `quota.open_streams`)."""

    paths: frozenset[str]
    display_name: str
    expire_time: Instant | None
    customers: Sequence[CustomerId]
    labels: Mapping[str, str] = field(default_factory=dict)
    networks: Sequence[str] = ()
    quota: Quota = NO_QUOTA
    audiences: Sequence[str] = ()


def update_key(transaction: Transaction, partner: PartnerId, key: KeyId, update: KeyUpdate, *, etag: str = "") -> KeyRecord:
    """The changed key. Customers that are new on its list must be valid now; those that were on it may stay as they are."""
    paths = update.paths
    _check_paths(paths)
    record = get_key(transaction, partner, key, etag=etag)
    wanted: KeyChanges = {}
    if "display_name" in paths:
        wanted["display_name"] = checks.display_name(update.display_name, "key.display_name")
    if "expire_time" in paths:
        wanted["expire_time"] = update.expire_time
        if update.expire_time != record.expire_time:
            checks.future(update.expire_time, transaction.now, "key.expire_time")
    if "customers" in paths:
        customers, listed = check_list(record.kind, update.customers), transaction.keys.customers(partner, key)
        wanted["customers"] = ListChange(customers - listed, listed - customers)
        require_valid(transaction, partner, wanted["customers"].added)
    if "allowed_networks" in paths:
        wanted["networks"] = key_terms.networks(update.networks, "key.allowed_networks")
    if "audiences" in paths:
        wanted["audiences"] = key_terms.audiences(update.audiences, "key.audiences")
    if any(path.split(".")[0] == "labels" for path in paths):
        wanted["labels"] = key_terms.labels(_labels(dict(record.labels), update), "key.labels")
    quota = key_terms.quota(_quota(record.quota, update), "key.quota")
    if paths & {"quota", "quota.calls_per_minute"}:
        wanted["calls_per_minute"] = quota.calls_per_minute
    if paths & {"quota", "quota.open_streams"}:
        wanted["open_streams"] = quota.open_streams
    return transaction.keys.change(record, **wanted)


def _labels(before: Mapping[str, str], update: KeyUpdate) -> Mapping[str, str]:
    """The labels to be. One that a path names, and that is not given, is taken off."""
    if "labels" in update.paths:
        return update.labels
    named = {path.removeprefix(_LABEL) for path in update.paths if path.startswith(_LABEL)}
    kept = {name: value for name, value in before.items() if name not in named}
    return kept | {name: value for name, value in update.labels.items() if name in named}


def _quota(before: Quota, update: KeyUpdate) -> Quota:
    """The quota to be."""
    if "quota" in update.paths:
        return update.quota
    calls = update.quota if "quota.calls_per_minute" in update.paths else before
    streams = update.quota if "quota.open_streams" in update.paths else before
    return Quota(calls.calls_per_minute, streams.open_streams)


def _check_paths(paths: frozenset[str]) -> None:
    allowed = f"{', '.join(_PATHS)}, and {_LABEL} with one label's name"
    if not paths:
        raise InvalidArgument("update_mask", f"must name what is to change: {allowed}", reason=ErrorReason.UPDATE_MASK_REQUIRED)
    unknown = sorted(path for path in paths if path not in _PATHS and not path.startswith(_LABEL))
    if unknown:
        raise InvalidArgument(
            "update_mask",
            f"names what cannot be changed: {', '.join(path[:40] for path in unknown[:5])}; it takes {allowed}",
            reason=ErrorReason.UPDATE_MASK_INVALID,
        )
    for path in paths:
        if path.startswith(_LABEL):
            key_terms.label_name(path.removeprefix(_LABEL), "update_mask")

"""What a device's own lists say is wrong with it. No I/O."""

from collections.abc import Callable, Sequence

from consentry_gateway.profiles.form import AlarmList, Meaning, is_scalar
from consentry_gateway.reading.model import DeviceId, Severity, Trouble
from consentry_gateway.reading.raw import Raw, keys_of, number_of, text_of
from consentry_gateway.reading.rows import Columns

Holder = Callable[[Sequence[tuple[str, str]]], DeviceId]

_MOST = 64  # of one list; a device that says more than that is not helped by more alarms


def entries(alarms: AlarmList, columns: Columns, holder: Holder) -> tuple[tuple[DeviceId, ...], list[Trouble]]:
    """The devices whose list this is and was read, and what it names."""
    if alarms.flags:
        return _flags(alarms, columns, holder)
    own = holder(())
    if is_scalar(alarms.oid):
        indexes: tuple[str | None, ...] = (None,) if alarms.oid in columns.answers else ()
    else:
        indexes = columns.indexes(alarms.oid)[:_MOST]
    troubles, devices = [], [own]
    for index in indexes:
        device = holder(columns.holders(alarms.within, index)) if index is not None else own
        devices.append(device)
        found = _entry(alarms, columns, index, device)
        if found is not None:
            troubles.append(found)
    count = number_of(columns.answers.get(alarms.count)) if alarms.count else None
    if count and 0 < count < 1_000 and not indexes:
        troubles.append(_counted(alarms, own, int(count)))
    if not indexes and alarms.states:
        devices = []  # it has no such column at the moment, which says nothing
    return tuple(dict.fromkeys(devices)), troubles


def _flags(alarms: AlarmList, columns: Columns, holder: Holder) -> tuple[tuple[DeviceId, ...], list[Trouble]]:
    text = text_of(columns.answers.get(alarms.oid))
    if not text or set(text) - {"0", "1"}:
        return (), []
    own = holder(())
    raised = [alarms.meanings.get(place) for place, flag in enumerate(text, 1) if flag == "1"]
    return (own,), [_meant(alarms, own, meaning) for meaning in raised if meaning is not None]


def _entry(alarms: AlarmList, columns: Columns, index: str | None, device: DeviceId) -> Trouble | None:
    raw = columns.at(alarms.oid, index)
    known = [key for key in keys_of(raw) if key in alarms.meanings]
    label = _own_words(columns, alarms.label, index)
    message = _own_words(columns, alarms.message, index)
    severity = _severity(alarms, columns, index)
    mark = f"-{index}" if alarms.states and index is not None else ""
    if known:
        meaning = alarms.meanings[known[0]]
        if meaning is None:
            return None
        words = message or (label if label != meaning.label else "")
        return _meant(alarms, device, meaning, mark=mark, message=words, severity=severity)
    if alarms.listed_only or alarms.states or not (label or _says_something(raw)):
        return None
    words = label or text_of(raw)
    called = alarms.title if words.replace(".", "").isdigit() else words
    told = message or f"The device reports {words}."
    return Trouble(device, alarms.key, f"{alarms.key}-{words}", called, told, severity or Severity.WARNING)


def _meant(
    alarms: AlarmList,
    device: DeviceId,
    meaning: Meaning,
    *,
    mark: str = "",
    message: str = "",
    severity: Severity | None = None,
) -> Trouble:
    condition = (meaning.condition or meaning.label.lower().replace(" ", "-")) + mark
    words = message or meaning.message or f"The device reports: {meaning.label}."
    return Trouble(device, alarms.key, condition, meaning.label, words, severity or meaning.severity)


def _counted(alarms: AlarmList, device: DeviceId, count: int) -> Trouble:
    words = f"The device counts {count} active alarm{'s' if count > 1 else ''} and does not say which."
    return Trouble(device, alarms.key, f"{alarms.key}-present", alarms.title, words)


def _severity(alarms: AlarmList, columns: Columns, index: str | None) -> Severity | None:
    if alarms.severity is None:
        return None
    return next(
        (alarms.severities[key] for key in keys_of(columns.at(alarms.severity, index)) if key in alarms.severities), None
    )


def _own_words(columns: Columns, column: str | None, index: str | None) -> str:
    return text_of(columns.at(column, index)) if column else ""


def _says_something(raw: Raw | None) -> bool:
    return bool(text_of(raw))

"""What would be published of an agent, and what not and why, as lines for people."""

from collections.abc import Iterator

from consentry_gateway.reading.alarms import AlarmBook
from consentry_gateway.reading.decode import Finding, findings
from consentry_gateway.reading.raw import Raw, text_of
from consentry_gateway.sources.snmp.source import Look

_LONGEST_BYTES = 32


def lines(look: Look) -> Iterator[str]:
    """What a look at an agent found. Values are followed by where they stand: OID, raw value, and what it is scaled by."""
    yield f"sysObjectID  {look.object_id or 'none'}"
    yield f"sysDescr     {look.description or 'none'}"
    if look.undecided:
        yield "family       not certain: what it is known by could not all be read, so that nothing would be published yet"
        yield f"not read     {look.why_not_all}"
        return
    if not look.profiles:
        yield "family       none that is known: nothing would be published"
        yield "`consentry gateway record` makes a recording of it, from which a profile can be made"
        return
    yield f"family       {', '.join(profile.family for profile in look.profiles)}"
    poll = look.poll
    for device in poll.devices:
        part = f", part of {device.parent}" if device.parent else ""
        named = " ".join(filter(None, (device.model_name, device.serial_number)))
        yield f"device       {device.id} ({device.type.value}{part}): {device.display_name}{f' [{named}]' if named else ''}"
    found = findings(look.profiles, poll.device, look.answers, look.unread)
    published = [finding for finding in found if finding.value is not None]
    left_out = [finding for finding in found if finding.value is None]
    yield f"published    {len(published)}"
    yield from (f"  {_named(finding)} = {_value(finding)}   {_origin(finding)}" for finding in published)
    yield f"left out     {len(left_out)}"
    yield from (f"  {_named(finding)}: {finding.why}   {_origin(finding)}" for finding in left_out)
    if look.why_not_all:
        yield f"not read     {len(look.unread)} of what its profiles ask for; {look.why_not_all}"
        yield from (f"  {oid}" for oid in sorted(look.unread))
    alarms = AlarmBook().observe(poll)
    yield f"alarms       {len(alarms)}"
    yield from (f"  {alarm.device} {alarm.severity.value} {alarm.label}: {alarm.message}" for alarm in alarms)


def _named(finding: Finding) -> str:
    return f"{finding.sensor.device} {finding.sensor.metric}"


def _value(finding: Finding) -> str:
    value = f"{finding.value:g}" if isinstance(finding.value, float) and abs(finding.value) < 1e6 else str(finding.value)
    return f"{value} {finding.sensor.unit}".rstrip()


def _origin(finding: Finding) -> str:
    """Where it stands; of a sum or a greatest, where the last one stands that it is made of."""
    source, raw = finding.source, _raw(finding.raw)
    if finding.raw == b"" and finding.value is None:
        return source.oid
    scale = "" if source.scale == 1 else f" x {source.scale:g}"
    offset = "" if source.offset == 0 else f" {'+' if source.offset > 0 else '-'} {abs(source.offset):g}"
    digits = f" with the decimal digits in {source.digits}" if source.digits else ""
    return f"{finding.oid} = {raw}{scale}{offset}{digits}"


def _raw(raw: Raw) -> str:
    if isinstance(raw, bytes):
        text = text_of(raw)
        return repr(text) if text.isprintable() and text.isascii() else f"0x{raw[:_LONGEST_BYTES].hex()}"
    return str(raw)

"""The devices that an agent speaks of: its own, and the parts of it that rows stand for. No I/O."""

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import replace

from consentry_gateway.profiles.form import Profile, Table
from consentry_gateway.reading.model import Device, DeviceId, DeviceType, bounded_id
from consentry_gateway.reading.raw import text_of
from consentry_gateway.reading.rows import Columns, Row, holder_of

_Chain = Sequence[tuple[str, str]]


class Parts:
    """What one agent's answers say of devices. `unread` as in `decode`."""

    def __init__(self, profiles: Sequence[Profile], agent: Device, columns: Columns, unread: Set[str]) -> None:
        self._profiles = profiles
        self._columns = columns
        self._unread = unread
        model = self._first_text(oid for profile in profiles for oid in profile.model)
        self.own = replace(
            agent,
            type=profiles[0].device_type,
            model_name=model,
            serial_number=self._first_text(oid for profile in profiles for oid in profile.serial),
            display_name=agent.display_name or model or agent.id,
        )
        self._itself = {table.key: table.itself for profile in profiles for table in profile.tables}
        self._devices: dict[DeviceId, Device] = {self.own.id: self.own}
        for profile in profiles:
            for table in profile.tables:
                if table.part is not None and unread.isdisjoint(table.placing()):
                    for row in columns.rows(table, named=True):
                        self._name(table, row)

    def holder(self, chain: _Chain) -> DeviceId:
        """The device at the end of a chain of parts: the agent's own, if there is none. It is made, if it is not there yet."""
        parent = self.own.id
        for end in range(1, len(chain) + 1):
            device = DeviceId(bounded_id(holder_of(self.own.id, chain[:end], self._itself)))
            key, number = chain[end - 1]
            if device not in self._devices:
                self._devices[device] = Device(
                    id=device,
                    display_name=f"{key.capitalize()} {number}",
                    type=self._type(key),
                    parent=parent,
                    location=self.own.location,
                )
            parent = device
        return parent

    def of(self, table: Table, row: Row) -> DeviceId:
        """The device whose sensors a row has."""
        return self.holder(_chain(table, row))

    def that_speak(self, speaking: Iterable[DeviceId], known: Iterable[Device]) -> tuple[Device, ...]:
        """The devices that have something to say and those that they are parts of, parents first; always the agent's own.

        They go by the names of those that are `known` where what they are called could not be read.
        """
        wanted = {self.own.id}
        for device in speaking:
            at: DeviceId | None = device
            while at is not None and at not in wanted:
                wanted.add(at)
                at = self._devices[at].parent
        naming = {oid for profile in self._profiles for oid in (*profile.model, *profile.serial)}
        naming |= {oid for profile in self._profiles for table in profile.tables for oid in table.naming()}
        before = {} if self._unread.isdisjoint(naming) else {device.id: device for device in known}
        return tuple(before.get(device.id, device) for device in self._devices.values() if device.id in wanted)

    def _name(self, table: Table, row: Row) -> None:
        device = self.of(table, row)
        label, model, serial = (self._text(column, row) for column in (table.label, table.model, table.serial))
        now = self._devices[device]
        if device != self.own.id:
            plain = row.fill(table.display_name)
            shown = label or (plain if now.display_name == f"{table.key.capitalize()} {row.number}" else now.display_name)
        else:
            shown = model or now.id if now.display_name == now.id else now.display_name
        self._devices[device] = replace(
            now, display_name=shown, model_name=now.model_name or model, serial_number=now.serial_number or serial
        )
        self.own = self._devices[self.own.id]

    def _type(self, key: str) -> DeviceType:
        types = (table.part for profile in self._profiles for table in profile.tables if table.key == key)
        return next((part for part in types if part is not None), self.own.type)

    def _text(self, column: str | None, row: Row) -> str:
        return text_of(self._columns.at(column, row.index)) if column else ""

    def _first_text(self, oids: Iterator[str]) -> str:
        return next((text for oid in oids if (text := text_of(self._columns.answers.get(oid)))), "")


def _chain(table: Table, row: Row) -> _Chain:
    return row.holders if table.part is None else (*row.holders, (table.key, row.number))

"""What a reader asked for, whatever it may have."""

from collections.abc import Iterable, Set
from dataclasses import dataclass

from consentry_rule import ALL_DATA_CLASSES, CustomerId, DataClass

DeviceKey = tuple[CustomerId, str]
"""Customer and device, by id."""

_ALL_AT_FIRST = (DataClass.INVENTORY, DataClass.TELEMETRY, DataClass.ALARMS)  # never more


@dataclass(frozen=True, slots=True)
class Filter:
    """Customers (none: all), classes (none: all), and devices (none: all; else each is of one of the customers).

    All means what the key may have at any time: customers as they enter, and classes as they are consented to, also such as did
    not exist when the reader began.
    """

    customers: frozenset[CustomerId] = frozenset()
    named_classes: frozenset[DataClass] = frozenset()
    devices: frozenset[DeviceKey] = frozenset()

    @property
    def data_classes(self) -> frozenset[DataClass]:
        """The classes that were asked for, whether there is anything of them or not."""
        return self.named_classes or ALL_DATA_CLASSES

    @property
    def text(self) -> str:
        """What a cursor is bound to: any two filters that differ have different ones.

        By what was named, not by what there is: the cursor of a reader that named no class stays good when one is added.
        """
        return self._text(self.named_classes)

    @property
    def former_text(self) -> str:
        """What cursors of this filter were bound to when no class named was written as all three that there were."""
        return self._text(self.named_classes or _ALL_AT_FIRST)

    def _text(self, data_classes: Iterable[DataClass]) -> str:
        customers = sorted(self.customers)
        classes = sorted(data_class.value for data_class in data_classes)
        devices = sorted(f"{customer}/{device}" for customer, device in self.devices)
        return ";".join(",".join(part) for part in (customers, classes, devices))

    def wants(self, classes: Iterable[DataClass]) -> frozenset[DataClass]:
        """Those of the classes that were asked for."""
        return self.data_classes.intersection(classes)

    def has_device(self, customer: CustomerId, device: str) -> bool:
        """Whether what concerns this device was asked for."""
        return not self.devices or (customer, device) in self.devices

    def devices_of(self, customer: CustomerId) -> Set[str]:
        """The devices of a customer that were asked for. Only of use when some were named at all."""
        return {device for owner, device in self.devices if owner == customer}

"""What a reader asked for, whatever it may have."""

from collections.abc import Iterable, Set
from dataclasses import dataclass

from consentry_rule import ALL_DATA_CLASSES, CustomerId, DataClass

DeviceKey = tuple[CustomerId, str]
"""Customer and device, by id."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Customers (none: all), classes, and devices (none: all; else each is of one of the customers)."""

    customers: frozenset[CustomerId] = frozenset()
    data_classes: frozenset[DataClass] = ALL_DATA_CLASSES
    devices: frozenset[DeviceKey] = frozenset()

    @property
    def text(self) -> str:
        """What a cursor is bound to: any two filters that differ have different ones."""
        customers = sorted(self.customers)
        classes = sorted(data_class.value for data_class in self.data_classes)
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

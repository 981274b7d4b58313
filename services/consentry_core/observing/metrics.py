"""Metrics: what is counted when it happens, and what is looked at when somebody asks.

What happens often is told by `Observer`, in one call. Everything else is a function that is called once a scrape. Labels take
a fixed set of values each: methods, statuses, reasons, outcomes. Nobody outside can make a new series.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

Labels = tuple[str, ...]
Value = float | Mapping[Labels, float]
"""One number, or one for each combination of the labels' values."""

# The conventions of OpenTelemetry for durations of calls: name, attributes and bounds, as Prometheus spells them.
_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_LOOK: Final = 0.1  # seconds between two looks at the event loop's delay
_DELAYS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Observer(Protocol):
    """Told of what happens often."""

    def call_ended(self, method: str, status: str, seconds: float) -> None:
        """A call of `/package.Service/Method` was answered with this status, so long after it came."""
        ...

    def refused(self, reason: str) -> None:
        """A call was refused, or ended, with an error of ours."""
        ...


class Metrics:
    """The metrics of one service. An `Observer`; scraped from the thread of its event loop."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._calls = Histogram(
            "rpc_server_call_duration_seconds",
            "Duration of calls, streams included, from their coming to their answer.",
            ("rpc_system_name", "rpc_method", "rpc_response_status_code"),
            buckets=_BOUNDS,
            registry=self.registry,
        )
        self._of_call: dict[tuple[str, str], Histogram] = {}
        self._refusals = Counter(
            "consentry_refusals", "Calls that were refused, or ended, by reason.", ("reason",), registry=self.registry
        )
        self._delay = Histogram(
            "consentry_event_loop_delay_seconds",
            "How late the event loop came to what was due.",
            buckets=_DELAYS,
            registry=self.registry,
        )

    def call_ended(self, method: str, status: str, seconds: float) -> None:
        """See `Observer`."""
        found = self._of_call.get((method, status))
        if found is None:
            found = self._of_call[method, status] = self._calls.labels("grpc", method[1:], status)
        found.observe(seconds)

    def refused(self, reason: str) -> None:
        """See `Observer`."""
        self._refusals.labels(reason).inc()

    def looked_at(self, name: str, documentation: str, look: Callable[[], Value], labels: Sequence[str] = ()) -> None:
        """A gauge whose value is asked for at each scrape."""
        self.registry.register(_Looked(lambda: GaugeMetricFamily(name, documentation, labels=labels), look))

    async def watch_loop(self) -> None:
        """Observe the event loop's delay, for as long as this runs."""
        while True:
            due = time.monotonic() + _LOOK
            await asyncio.sleep(_LOOK)
            self._delay.observe(max(0.0, time.monotonic() - due))

    def exposition(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self.registry)


class _Looked(Collector):
    def __init__(self, family: Callable[[], GaugeMetricFamily], look: Callable[[], Value]) -> None:
        self._family = family
        self._look = look

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return (self._family(),)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = self._family()
        value = self._look()
        if isinstance(value, Mapping):
            for labels, each in value.items():
                family.add_metric(labels, each)
        else:
            family.add_metric((), value)
        yield family

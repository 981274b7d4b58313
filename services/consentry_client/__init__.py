"""What a partner imports: a typed client of both services, for asyncio (`AsyncClient`) and without (`Client`).

    with Client(authority="127.0.0.1:7401", devices="127.0.0.1:7402", secret=secret) as client:
        for event in client.watch():
            ...

Resources (locations, devices, sensors, alarms) and what is kept of their lives (alarm events, consent events) are the API's own
messages; everything else is frozen dataclasses. How calls fail is drawn in `consentry_client.errors`.
"""

from consentry_client.accesses import Access, UnreportedInterval
from consentry_client.aio import AsyncClient
from consentry_client.coverage import (
    CoverageEvent,
    CoverageHeartbeat,
    CoverageSynced,
    Covered,
    CoveredCustomer,
    Uncovered,
)
from consentry_client.errors import (
    Aborted,
    AlreadyExists,
    CallFailed,
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    OutOfRange,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    UnexpectedFailure,
)
from consentry_client.events import (
    AlarmChange,
    CustomerAdded,
    CustomerRemoved,
    Event,
    Gap,
    Heartbeat,
    InventoryChange,
    Synced,
    Telemetry,
)
from consentry_client.history import Aggregate, DeviceSteps, HistoryGap, Step, StepColumns
from consentry_client.readings import Columns, DeviceReadings, Reading
from consentry_client.sync import Client
from consentry_core.callers.quota_left import QuotaLeft
from consentry_core.process.tls import ClientTls
from consentry_core.values.errors import Violation
from consentry_rule import DataClass

__all__ = [
    "Aborted",
    "Access",
    "Aggregate",
    "AlarmChange",
    "AlreadyExists",
    "AsyncClient",
    "CallFailed",
    "Cancelled",
    "Client",
    "ClientTls",
    "Columns",
    "CoverageEvent",
    "CoverageHeartbeat",
    "CoverageSynced",
    "Covered",
    "CoveredCustomer",
    "CustomerAdded",
    "CustomerRemoved",
    "DataClass",
    "DeadlineExceeded",
    "DeviceReadings",
    "DeviceSteps",
    "Event",
    "FailedPrecondition",
    "Gap",
    "Heartbeat",
    "HistoryGap",
    "InvalidArgument",
    "InventoryChange",
    "NotFound",
    "OutOfRange",
    "PermissionDenied",
    "QuotaLeft",
    "Reading",
    "ResourceExhausted",
    "Step",
    "StepColumns",
    "Synced",
    "Telemetry",
    "Unauthenticated",
    "Unavailable",
    "Uncovered",
    "UnexpectedFailure",
    "UnreportedInterval",
    "Violation",
]

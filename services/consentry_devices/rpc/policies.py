"""Who may call what. A test holds the table equal to the set of this package's methods."""

from consentry_core.callers.policy import Caller, Policies

_KEY = frozenset({Caller.KEY})

POLICIES: Policies = {
    "/consentry.devices.v1.AlarmService/GetAlarm": _KEY,
    "/consentry.devices.v1.AlarmService/ListAlarmEvents": _KEY,
    "/consentry.devices.v1.AlarmService/ListAlarms": _KEY,
    "/consentry.devices.v1.FeedService/Watch": _KEY,
    "/consentry.devices.v1.GatewayService/Publish": frozenset({Caller.GATEWAY}),
    "/consentry.devices.v1.InventoryService/GetDevice": _KEY,
    "/consentry.devices.v1.InventoryService/ListDevices": _KEY,
    "/consentry.devices.v1.InventoryService/ListLocations": _KEY,
    "/consentry.devices.v1.InventoryService/ListSensors": _KEY,
    "/consentry.devices.v1.TelemetryService/QueryHistory": _KEY,
    "/consentry.devices.v1.TelemetryService/QueryLatest": _KEY,
    "/consentry.devices.v1.TelemetryService/SimulateTelemetry": _KEY,
}

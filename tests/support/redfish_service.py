"""A Redfish service for the tests: resources in the shape of DMTF's schemas, sessions, a stream of events, and bad manners."""

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from aiohttp import web

Json = dict[str, Any]
USER, PASSWORD = "monitor", "made-up-password"
_V1 = "/redfish/v1"


def link(path: str) -> Json:
    """A link within the service."""
    return {"@odata.id": f"{_V1}{path}"}


def collection(*paths: str) -> Json:
    """A collection of resources."""
    return {"Members": [link(path) for path in paths], "Members@odata.count": len(paths)}


_OK = {"State": "Enabled", "Health": "OK"}
_ROOT = {
    "RedfishVersion": "1.15.0",
    "Vendor": "Contoso",
    "Product": "3500 Server",
    "Chassis": link("/Chassis"),
    "EventService": link("/EventService"),
    "Links": {"Sessions": link("/SessionService/Sessions")},
}
_EVENTS = {"ServiceEnabled": True, "ServerSentEventUri": f"{_V1}/EventService/SSE"}


def older() -> dict[str, Json]:
    """A server with Thermal and Power, and a shelf of disks in it."""
    return {
        "/": _ROOT,
        "/EventService": _EVENTS,
        "/Chassis": collection("/Chassis/1U", "/Chassis/Shelf"),
        "/Chassis/1U": {
            "Id": "1U", "Name": "Computer System Chassis", "Model": "3500RX", "SerialNumber": "437XR1138R2",
            "PowerState": "On", "Status": _OK, "Thermal": link("/Chassis/1U/Thermal"), "Power": link("/Chassis/1U/Power"),
        },
        "/Chassis/Shelf": {
            "Id": "Shelf", "Name": "Disk Shelf", "Model": "DS12", "SerialNumber": "SH-7", "PowerState": "On",
            "Status": {"State": "Enabled", "Health": "Warning"}, "Links": {"ContainedBy": link("/Chassis/1U")},
        },
        "/Chassis/1U/Thermal": {
            "Temperatures": [
                {
                    "MemberId": "0", "Name": "CPU1 Temp", "Status": _OK, "ReadingCelsius": 41,
                    "UpperThresholdNonCritical": 60, "UpperThresholdCritical": 70, "PhysicalContext": "CPU",
                },
                {"MemberId": "1", "Name": "CPU2 Temp", "Status": {"State": "Disabled"}, "ReadingCelsius": None},
                {
                    "MemberId": "2", "Name": "Chassis Intake Temp", "Status": _OK, "ReadingCelsius": 25,
                    "LowerThresholdNonCritical": 10,
                },
                {"MemberId": "3", "Name": "Chassis Exhaust Temp", "Status": _OK, "ReadingCelsius": 255},
            ],
            "Fans": [
                {"MemberId": "0", "FanName": "Bay 1", "Status": _OK, "Reading": 2100, "ReadingUnits": "RPM"},
                {"MemberId": "1", "Name": "Bay 2", "Status": _OK, "Reading": 37, "ReadingUnits": "Percent"},
                {"MemberId": "2", "Name": "Bay 3", "Status": {"State": "Absent"}},
            ],
        },
        "/Chassis/1U/Power": {
            "PowerControl": [{"MemberId": "0", "Name": "System Input Power", "PowerConsumedWatts": 344.5, "Status": _OK}],
            "PowerSupplies": [
                {
                    "MemberId": "0", "Name": "Power Supply Bay 1", "Status": _OK, "LineInputVoltage": 230.2,
                    "PowerInputWatts": 180, "LastPowerOutputWatts": 171,
                },
                {
                    "MemberId": "1", "Name": "Power Supply Bay 2", "Status": _OK, "LineInputVoltage": 229.8,
                    "PowerOutputWatts": 158,
                },
            ],
            "Voltages": [
                {"MemberId": "0", "Name": "VRM1 Voltage", "Status": _OK, "ReadingVolts": 12.1, "UpperThresholdCritical": 13},
            ],
        },
    }  # fmt: skip


def newer() -> dict[str, Json]:
    """A server with subsystems and sensors."""
    at = "/Chassis/1U"

    def sensor(name: str, kind: str, reading: float, unit: str, **more: object) -> Json:
        return {"Id": name, "Name": name, "ReadingType": kind, "Reading": reading, "ReadingUnits": unit, "Status": _OK, **more}

    sensors = {
        "AmbientTemp": sensor(
            "Ambient Temp",
            "Temperature",
            22.5,
            "Cel",
            Thresholds={"UpperCaution": {"Reading": 35}, "LowerCaution": {"Reading": 5}},
        ),
        "TotalPower": sensor("Total Power", "Power", 374, "W"),
        "TotalEnergy": sensor("Total Energy", "EnergykWh", 7855, "kW.h"),
        "PS1InputVoltage": sensor("PS1 Input Voltage", "Voltage", 119.27, "V"),
        "PS1InputCurrent": sensor("PS1 Input Current", "Current", 3.25, "A"),
        "Humidity": sensor("Humidity", "Humidity", 43, "%"),
        "FanBay1": sensor("Fan Bay 1", "Rotational", 2200, "RPM"),
        "Door": sensor("Door", "Presence", 1, ""),
    }
    return {
        "/": {name: value for name, value in _ROOT.items() if name != "EventService"},
        "/Chassis": collection(at),
        at: {
            "Id": "1U", "Name": "Computer System Chassis", "Model": "3500RX", "SerialNumber": "437XR1138R2",
            "PowerState": "On", "Status": _OK, "ThermalSubsystem": link(f"{at}/ThermalSubsystem"),
            "PowerSubsystem": link(f"{at}/PowerSubsystem"),
            "Sensors": link(f"{at}/Sensors"),
        },
        f"{at}/ThermalSubsystem": {"Fans": link(f"{at}/ThermalSubsystem/Fans")},
        f"{at}/ThermalSubsystem/Fans": collection(f"{at}/ThermalSubsystem/Fans/Bay1"),
        f"{at}/ThermalSubsystem/Fans/Bay1": {
            "Id": "Bay1", "Name": "Fan Bay 1", "Status": _OK, "SpeedPercent": {"Reading": 45, "SpeedRPM": 2200},
        },
        f"{at}/PowerSubsystem": {"PowerSupplies": link(f"{at}/PowerSubsystem/PowerSupplies")},
        f"{at}/PowerSubsystem/PowerSupplies": collection(f"{at}/PowerSubsystem/PowerSupplies/Bay1"),
        f"{at}/PowerSubsystem/PowerSupplies/Bay1": {"Id": "Bay1", "Name": "Power Supply Bay 1", "Status": _OK},
        f"{at}/Sensors": {
            "Members": [link(f"{at}/Sensors/{name}") for name in list(sensors)[:4]],
            "Members@odata.nextLink": f"{_V1}{at}/Sensors/page2",
        },
        f"{at}/Sensors/page2": collection(*(f"{at}/Sensors/{name}" for name in list(sensors)[4:])),
        **{f"{at}/Sensors/{name}": found for name, found in sensors.items()},
    }  # fmt: skip


@dataclass(slots=True)
class Service:
    """What it has, and how it behaves. `instead`: by path, what is answered there instead of a resource."""

    resources: dict[str, Json] = field(default_factory=older)
    basic: bool = False
    instead: dict[str, Callable[[web.Request], web.StreamResponse]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    heard: list[str] = field(default_factory=list)
    news: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    begun: int = 0
    port: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        self.heard.append(f"{request.method} {request.path}")
        path = request.path.removeprefix(_V1) or "/"
        if path in self.instead:
            return self.instead[path](request)
        if request.method == "POST" and path == "/SessionService/Sessions":
            return self._begin(await request.json())
        if not self._allowed(request, path):
            return web.json_response({"error": {}}, status=401)
        if request.method == "DELETE":
            self.tokens.discard(request.headers["X-Auth-Token"])
            return web.Response(status=204)
        if path == "/EventService/SSE":
            return await self._stream(request)
        if path not in self.resources:
            return web.json_response({"error": {}}, status=404)
        return web.json_response({"@odata.id": request.path, **self.resources[path]})

    def _allowed(self, request: web.Request, path: str) -> bool:
        if self.basic:
            return request.headers.get("Authorization") == f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
        return path == "/" or request.headers.get("X-Auth-Token") in self.tokens

    def _begin(self, who: Json) -> web.Response:
        self.begun += 1
        if who != {"UserName": USER, "Password": PASSWORD}:
            return web.json_response({"error": {}}, status=401)
        token = f"token-{self.begun}"
        self.tokens.add(token)
        where = f"{_V1}/SessionService/Sessions/{self.begun}"
        return web.json_response({"@odata.id": where}, status=201, headers={"X-Auth-Token": token, "Location": where})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while news := await self.news.get():
            await response.write(news)
        return response


def raw(
    body: bytes, status: int = 200, headers: Mapping[str, str] = MappingProxyType({})
) -> Callable[[web.Request], web.Response]:
    """An answer as it is."""
    return lambda _: web.Response(body=body, status=status, headers={"Content-Type": "application/json", **headers})


def resource(content: object) -> Callable[[web.Request], web.Response]:
    """An answer that is JSON."""
    return raw(json.dumps(content).encode())


@contextlib.asynccontextmanager
async def serving(service: Service, tls: ssl.SSLContext | None = None) -> AsyncIterator[Service]:
    """Serve it on a free port, or on its own again."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", service.answer)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", service.port, ssl_context=tls)
    await site.start()
    service.port = runner.addresses[0][1]
    try:
        yield service
    finally:
        await runner.cleanup()

"""Real SNMP agents that replay recordings of real devices, for the demo and the tests.

They are `snmpsim` with the recordings of `snmpsim-data` (extra `demo`). Each recording is served under a community of its own
name, all of them on one loopback port. Some values are made to move, so that what is read live differs from poll to poll.
"""

import bz2
import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from consentry_core.process.settings import SettingError

HOST = "127.0.0.1"
_SOURCES = MappingProxyType(
    {
        "apc-7902b": "UPS/apc-7902b.snmprec",
        "apc-8641": "UPS/apc-8641.snmprec",
        "apc-8932": "UPS/apc-8932.snmprec",
        "eastpower-istars": "UPS/eastpower-istars-swv053.snmprec.bz2",
        "eaton-93e-80": "UPS/eaton-93e-80.snmprec.bz2",
        "eaton-9px": "UPS/eaton-9px-partial.snmprec.bz2",
        "emerson-network-power": "UPS/emerson-network-power.snmprec.bz2",
        "geist-temperature-sensor": "iot/geist-temperature-sensor.snmprec",
        "huawei-gse200m": "UPS/huawei-gse200m.snmprec.bz2",
        "liebert-pex": "UPS/vertiv-power.snmprec.bz2",
        "phoenixtec-power": "UPS/phoenixtec-power.snmprec.bz2",
        "santak-array": "UPS/ingrasys-power-switch.snmprec.bz2",
    }
)
RECORDINGS = tuple(_SOURCES)
"""The names of the recordings that can be replayed, which are their communities."""

DEMO = ("apc-8932", "eaton-93e-80", "geist-temperature-sensor")

_PDU2, _MG, _XUPS = "1.3.6.1.4.1.318.1.1.26", "1.3.6.1.4.1.705.1", "1.3.6.1.4.1.534.1"
# How far a value swings around what was recorded, in the agent's units, by OID.
_SWINGS: Mapping[str, int] = MappingProxyType(
    {
        f"{_PDU2}.4.3.1.5.1": 4,
        f"{_PDU2}.6.3.1.5.1": 3,
        f"{_PDU2}.8.3.1.5.1": 3,
        f"{_MG}.6.2.1.2.1.0": 30,
        f"{_MG}.7.2.1.4.1": 3,
        f"{_MG}.7.2.1.5.1": 15,
        f"{_XUPS}.4.4.1.4.1": 300,
    }
)

_SYS_OBJECT_ID = (1, 3, 6, 1, 2, 1, 1, 2, 0)
_ATTEMPTS = 5  # at a port that is still free when the agent takes it
_PATIENCE = 60.0  # seconds until the first answer; the first index of a large recording takes some


@dataclass(frozen=True, slots=True)
class RecordedAgents:
    """Agents that answer, at `HOST:port`, each under the community of its recording."""

    port: int
    names: tuple[str, ...]
    process: subprocess.Popen[bytes]
    folder: Path

    def stop(self) -> None:
        """End the process and remove everything that it needed."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def start(names: Sequence[str] = DEMO, *, moving: bool = True, port: int = 0, users: Sequence[str] = ()) -> RecordedAgents:
    """Start agents and wait until each answers. Blocks; to be called in a thread from an event loop.

    `port` 0 is a free one. `users`: the simulator's arguments for users of SNMPv3, to whom a recording is a context.
    SettingError when the recordings are not installed or the agents do not come up.
    """
    folder = Path(tempfile.mkdtemp(prefix="consentry-recorded-"))
    try:
        prepare(folder / "data", names, moving=moving)
        return _start_in(folder, tuple(names), port, users)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextlib.contextmanager
def replaying(
    names: Sequence[str] = DEMO, *, moving: bool = True, port: int = 0, users: Sequence[str] = ()
) -> Iterator[RecordedAgents]:
    """`start`, and `stop` at the end."""
    agents = start(names, moving=moving, port=port, users=users)
    try:
        yield agents
    finally:
        agents.stop()


def prepare(folder: Path, names: Sequence[str], *, moving: bool = True) -> None:
    """Write the recordings, as `NAME.snmprec`, for an agent to replay."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        lines = read_recording(name).splitlines(keepends=True)
        (folder / f"{name}.snmprec").write_text("".join(map(_moved if moving else _still, lines)), encoding="utf-8")


def read_recording(name: str) -> str:
    """A recording as it was made: lines of `OID|type|value`."""
    package = importlib.util.find_spec("snmpsim_data")
    if package is None or not package.submodule_search_locations:
        raise SettingError("recorded devices need the packages snmpsim and snmpsim-data: pip install 'consentry[demo]'")
    if name not in _SOURCES:
        raise SettingError(f"there is no recording {name}; there are {', '.join(RECORDINGS)}")
    content = (Path(package.submodule_search_locations[0]) / "data" / _SOURCES[name]).read_bytes()
    text = bz2.decompress(content) if _SOURCES[name].endswith(".bz2") else content
    # Comments are not part of the format; the agent would log each as an error.
    return "".join(line for line in text.decode("utf-8", "replace").splitlines(keepends=True) if not line.startswith("#"))


def _moved(line: str) -> str:
    oid, kind, value = line.rstrip("\n").split("|", 2)
    swing = _SWINGS.get(oid)
    if swing is None or kind not in {"2", "66"}:
        return line
    # A sine of the agent's uptime; a full swing takes half a minute.
    return f"{oid}|{kind}:numeric|function=sin,rate=0.2,scale={swing},initial={value}\n"


def _still(line: str) -> str:
    """A line whose value stays what it was first, where the recording itself makes it move."""
    oid, kind, value = line.rstrip("\n").split("|", 2)
    kind, _, variation = kind.partition(":")
    if not variation:
        return line
    settings = dict(setting.partition("=")[::2] for setting in value.split(","))
    return f"{oid}|{kind}|{settings.get('initial') or settings.get('value', '')}\n"


def _start_in(folder: Path, names: tuple[str, ...], port: int, users: Sequence[str]) -> RecordedAgents:
    for _ in range(_ATTEMPTS):
        chosen = _free_port(port)
        agents = RecordedAgents(chosen, names, _spawn(folder, chosen, users), folder)
        try:
            if _answers(agents):
                return agents
        except BaseException:
            agents.stop()
            raise
        # It ended at once: somebody else took the port between our look and its bind.
        agents.process.wait()
        if port:
            break
    raise SettingError(f"the recorded agents do not come up: {_last_words(folder)}")


def _spawn(folder: Path, port: int, users: Sequence[str]) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-m", "snmpsim.commands.responder",
        f"--data-dir={folder / 'data'}", f"--cache-dir={folder / 'cache'}",
        "--log-level=error", *users, f"--agent-udpv4-endpoint={HOST}:{port}",
    ]  # fmt: skip
    if os.geteuid() == 0:  # it insists on being told whom to run as
        command += ["--process-user=root", "--process-group=root"]
    (folder / "cache").mkdir(exist_ok=True)
    environment = os.environ | {"HOME": str(folder)}  # it would look for modules, and leave files, in the user's
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603 - our own
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, env=environment
        )


def _free_port(port: int) -> int:
    """The port, or any for 0, if nobody has it. The agent itself would share one that is taken, and get half the questions."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise SettingError(f"UDP port {port} is taken; choose another") from error
        return int(probe.getsockname()[1])


def _answers(agents: RecordedAgents) -> bool:
    """Wait until every agent has answered a get; False when the process has ended instead."""
    end = time.monotonic() + _PATIENCE
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(0.2)
        asking.connect((HOST, agents.port))
        for name in agents.names:
            question = _question(name)
            while True:
                if agents.process.poll() is not None:
                    return False
                if time.monotonic() > end:
                    raise SettingError(f"the recorded agents do not answer: {_last_words(agents.folder)}")
                try:
                    asking.send(question)
                    asking.recv(65536)
                    break
                except ConnectionRefusedError:
                    time.sleep(0.05)  # nobody listens yet
                except TimeoutError:
                    continue
    return True


def _question(community: str) -> bytes:
    """An SNMPv2c get of sysObjectID."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from pyasn1.codec.ber import encoder  # type: ignore[import-untyped]  # noqa: PLC0415 - only the demo needs them
        from pysnmp.proto import api  # noqa: PLC0415
    v2c = api.PROTOCOL_MODULES[api.SNMP_VERSION_2C]
    request = v2c.GetRequestPDU()
    v2c.apiPDU.set_defaults(request)
    v2c.apiPDU.set_varbinds(request, [(_SYS_OBJECT_ID, v2c.Null(""))])
    message = v2c.Message()
    v2c.apiMessage.set_defaults(message)
    v2c.apiMessage.set_community(message, community)
    v2c.apiMessage.set_pdu(message, request)
    return bytes(encoder.encode(message))


def _last_words(folder: Path) -> str:
    with contextlib.suppress(OSError):
        lines = (folder / "log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"
    return "it said nothing"

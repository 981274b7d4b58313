"""`python -m fuzz [--inputs N] [--folder build/fuzz]`: so many inputs, led by coverage, shared out over all targets.

Each target runs in a process of its own, for the fuzzer never returns. What broke one lies in the folder as `crash-...` and is
read again with `python -m fuzz --target NAME --again FILE`. What the fuzzer has learnt is kept there, and it begins with it.
"""

import argparse
import re
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random

import atheris
from google.protobuf.message import DecodeError, Message

from fuzz.changing import change

with atheris.instrument_imports(include=["consentry_core", "consentry_authority", "consentry_devices", "fuzz.targets"]):
    from fuzz.targets import TARGETS

_SECONDS_EACH = 600


def main() -> int:
    """Run all targets, or one; the status to exit with."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--target", choices=sorted(TARGETS))
    parser.add_argument("--again", type=Path, help="an input that broke the target")
    asked = parser.parse_args()
    if asked.again is not None:
        TARGETS[asked.target].take(asked.again.read_bytes())
        return 0
    if asked.target is not None:
        _run(asked.target, asked.inputs, asked.folder)
    return _run_all(asked.inputs, asked.folder)


def _run(name: str, inputs: int, folder: Path) -> None:
    """Never returns."""
    corpus = folder / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(TARGETS[name].seeds):
        (corpus / f"seed-{number:02}").write_bytes(seed)
    options = [f"-runs={inputs}", "-max_len=4096", f"-artifact_prefix={folder / name}-", "-print_final_stats=1", "-timeout=10"]
    form = TARGETS[name].form
    more = {} if form is None else {"custom_mutator": partial(_mutated, form)}
    atheris.Setup(["fuzz", *options, str(corpus)], TARGETS[name].take, **more)
    atheris.Fuzz()


def _mutated(form: type[Message], data: bytes, longest: int, seed: int) -> bytes:
    """A message with a few fields changed or, now and then and where it is none, with its bytes changed."""
    random = Random(seed)  # noqa: S311 - to be repeated
    if random.random() < 0.8:
        with suppress(DecodeError):
            message = form.FromString(data)
            for _ in range(random.randint(1, 4)):
                change(message, random)
            return message.SerializeToString()[:longest]
    return bytes(atheris.Mutate(data, longest))


def _run_all(inputs: int, folder: Path) -> int:
    each = -(-inputs // len(TARGETS))
    folder.mkdir(parents=True, exist_ok=True)
    tried, broken = 0, []
    print(f"{'target':<15}{'inputs':>10}{'s':>8}   covered")
    for name in TARGETS:
        began = time.monotonic()
        command = [sys.executable, "-m", "fuzz", f"--target={name}", f"--inputs={each}", f"--folder={folder}"]
        run = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_SECONDS_EACH, check=False)
        said = run.stdout + run.stderr
        done = re.search(r"stat::number_of_executed_units:\s+(\d+)", said)
        covered = re.findall(r"\bcov: (\d+)", said)
        tried += int(done[1]) if done else 0
        print(f"{name:<15}{done[1] if done else '?':>10}{time.monotonic() - began:8.1f}   {covered[-1] if covered else '?'}")
        if run.returncode != 0 or done is None:
            broken.append(name)
            print(said[-4_000:])
    print(f"{tried:,} inputs; {'broken: ' + ', '.join(broken) if broken else 'nothing broke'}")
    return 1 if broken or tried < inputs else 0


if __name__ == "__main__":
    sys.exit(main())

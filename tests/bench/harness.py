"""What every benchmark does: rounds in pairs with a baseline, medians with their spread, a table, and a file of figures.

Machines differ and so do their moods, so a figure that matters is a ratio to a baseline of the same run: rounds of both are
taken in turns, each round is compared with its neighbour, and the median pair counts.
"""

import asyncio
import json
import os
import platform
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

FOLDER = Path("build") / "bench"


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed; the highest one for a share that would need more of them."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """How far they lie apart: the tenth, and the ninetieth hundredth of them."""
    return f"{percentile(values, 0.1):.{digits}f} .. {percentile(values, 0.9):.{digits}f}"


async def in_pairs(
    rounds: int, baseline: Callable[[], Awaitable[float]], measured: Callable[[], Awaitable[float]]
) -> list[tuple[float, float]]:
    """Rounds of both in turns, the order changing from pair to pair: (baseline, measured) of each pair."""
    pairs = []
    for number in range(rounds):
        if number % 2:
            second, first = await measured(), await baseline()
        else:
            first, second = await baseline(), await measured()
        pairs.append((first, second))
    return pairs


def ratios(pairs: Sequence[tuple[float, float]]) -> list[float]:
    """Measured over baseline, pair by pair."""
    return [measured / baseline for baseline, measured in pairs]


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    value: float
    spread: str
    target: str
    reached: bool | None
    what: str


@dataclass
class Report:
    """The figures of one benchmark, in the order in which they were found."""

    bench: str
    rows: list[_Row] = field(default_factory=list)

    def figure(
        self,
        name: str,
        value: float,
        what: str,
        *,
        spread: str = "",
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> None:
        """One figure; `what` says its unit and what it is, the limits what it should be."""
        target, reached = "", None
        if at_most is not None:
            target, reached = f"<= {at_most:g}", value <= at_most
        elif at_least is not None:
            target, reached = f">= {at_least:g}", value >= at_least
        self.rows.append(_Row(name, value, spread, target, reached, what))

    def median(self, name: str, values: Sequence[float], what: str, **limits: float) -> None:
        """The median of rounds, with their spread."""
        self.figure(name, median(values), what, spread=spread(values), **limits)

    def finish(self) -> None:
        """Print the table and write `build/bench/<name>.json`."""
        print(f"\n{self.bench}: {os.cpu_count()} cores, Python {platform.python_version()}, {platform.machine()}")
        print(f"  {'figure':<28}{'value':>10}  {'p10 .. p90':<20}{'target':<10}{'':<5}what")
        for row in self.rows:
            verdict = "" if row.reached is None else ("ok" if row.reached else "MISS")
            print(f"  {row.name:<28}{row.value:>10.3f}  {row.spread:<20}{row.target:<10}{verdict:<5}{row.what}")
        FOLDER.mkdir(parents=True, exist_ok=True)
        figures = {row.name: round(row.value, 4) for row in self.rows}
        text = json.dumps({"bench": self.bench, "figures": figures}, indent=2)
        (FOLDER / f"{self.bench}.json").write_text(text + "\n", encoding="utf-8")


def run(bench: str, measure: Callable[[Report], Coroutine[Any, Any, None]]) -> None:
    """Run a benchmark and report."""
    report = Report(bench)
    asyncio.run(measure(report))
    report.finish()

"""What the list of covered customers costs, for partners of 1,000, 10,000 and 100,000 customers, all of them valid.

Asked of an authority in a process of its own with an All Customers key, a page of the largest size after the other. Absolute
times depend on the machine; the ratios do not: a page costs the same wherever it lies and however many there are.
"""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

from bench.harness import Report, run
from bench.population import populate
from bench.stage import authority, stage
from consentry.authority.v1 import coverage_pb2
from consentry_core.rpc.client.channels import bearer

_SIZES = {"1k": 1_000, "10k": 10_000, "100k": 100_000}
_PARTNERS = {f"partner-{name}": count for name, count in _SIZES.items()}
_LARGEST_PAGE = 10_000
_ROUNDS = 9


class _Lists:
    """Asks for lists with one key."""

    def __init__(self, list_: Callable[..., Awaitable[Any]], secret: str, count: int) -> None:
        self._list = list_
        self._metadata = bearer(secret)
        self._count = count

    async def pages(self) -> list[float]:
        """The seconds that each page took, all of them."""
        taken, token, found = [], "", 0
        while True:
            request = coverage_pb2.ListCoveredCustomersRequest(page_size=_LARGEST_PAGE, page_token=token)
            began = time.perf_counter()
            page: Any = await self._list(request, metadata=self._metadata)
            taken.append(time.perf_counter() - began)
            found += len(page.customers)
            token = page.next_page_token
            if not token:
                assert found == self._count
                return taken

    async def first(self, size: int) -> float:
        """The seconds that a first page of so many takes."""
        request = coverage_pb2.ListCoveredCustomersRequest(page_size=size)
        began = time.perf_counter()
        page: Any = await self._list(request, metadata=self._metadata)
        assert len(page.customers) == size
        return time.perf_counter() - began


async def _measure(report: Report) -> None:
    with stage() as processes:
        async with authority(
            processes, filled_by=partial(populate, sizes={f"partner-{name}": count for name, count in _SIZES.items()})
        ) as running:
            lists, method = {}, cast("Callable[..., Awaitable[Any]]", running.coverage.ListCoveredCustomers)
            for name, count in _SIZES.items():
                secret = (await running.key(f"partner-{name}")).secret
                lists[name] = _Lists(method, secret, count)
                await lists[name].pages()
            took: dict[str, list[float]] = {name: [] for name in _SIZES}
            firsts: dict[str, list[float]] = {name: [] for name in _SIZES}
            last_over_first = []
            server, cpu = processes.started("authority"), []
            for _ in range(_ROUNDS):
                for name, asked in lists.items():
                    before = server.cpu_seconds()
                    pages = await asked.pages()
                    spent = server.cpu_seconds() - before
                    took[name].append(sum(pages) * 1000)
                    firsts[name].append(await asked.first(1_000) * 1000)
                cpu.append(spent * 1000)
                last_over_first.append(pages[-2] / pages[0])  # after the last full page comes an empty one
    for name, at_most in (("1k", 15), ("10k", 100), ("100k", 1_000)):
        report.median(f"list_{name}_ms", took[name], f"ms, all pages of {_SIZES[name]:,} customers", at_most=at_most)
    report.median("server_cpu_100k_ms", cpu, "ms of the authority's processor time for 100,000, whoever else wants the machine")
    report.median("first_page_ms_100k", firsts["100k"], "ms, the first 1,000 of 100,000", at_most=15)
    report.median("first_page_ms_1k", firsts["1k"], "ms, the first 1,000 of 1,000")
    ratio = [large / small for small, large in zip(firsts["1k"], firsts["100k"], strict=True)]
    report.median("page_100k_over_1k", ratio, "a page of 1,000 among 100,000 over the same among 1,000", at_most=1.25)
    report.median("last_over_first_page", last_over_first, "the last full page of 100,000 over the first", at_most=1.25)


if __name__ == "__main__":
    run("coverage", _measure)

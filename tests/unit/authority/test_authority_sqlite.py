"""What SQLite makes of the questions that decisions are made of."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from consentry_authority.commands.directory.list_connections import list_connections
from support.stores import ACME, NORTH, OTHER, SOUTH, StoreUnderTest, open_store


def test_nothing_reads_all_connections_to_answer_about_some(tmp_path: Path) -> None:
    with open_store(tmp_path) as kept:
        kept.partner(ACME)
        kept.partner(OTHER)
        for customer in (NORTH, SOUTH):
            kept.valid_customer(customer, ACME)
        _nothing_is_scanned(kept)


def _nothing_is_scanned(kept: StoreUnderTest) -> None:
    asked: list[tuple[str, Any]] = []

    def listen(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        asked.append((statement, parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", listen)
    try:
        kept.ask(lambda tx: tx.facts.standing(ACME, NORTH))
        kept.ask(lambda tx: tx.facts.standings_of(ACME, after=NORTH, limit=5))
        kept.ask(lambda tx: tx.facts.standings_to(ACME, [NORTH, SOUTH]))
        kept.ask(lambda tx: tx.facts.standings_between([(ACME, NORTH), (OTHER, NORTH)]))
        kept.ask(lambda tx: list_connections(tx, partner=ACME, customer=None, after="", limit=5))
        kept.ask(lambda tx: list_connections(tx, partner=None, customer=NORTH, after="", limit=5))
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", listen)

    def plans_of(connection: sa.Connection) -> list[str]:
        return [
            row[3]
            for statement, parameters in asked
            if statement.startswith("SELECT")
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]

    steps = kept.store._database.write_now(plans_of)
    assert any("SEARCH connections" in step for step in steps)
    assert [step for step in steps if step.startswith("SCAN c")] == []

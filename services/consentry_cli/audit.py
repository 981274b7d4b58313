"""`consentry audit`: the audit log of a data folder, for who runs the authority. On the machine itself, without a token."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from consentry_authority.settings import AuthoritySettings
from consentry_cli.lazy import load
from consentry_cli.output import say
from consentry_core.files import read_text
from consentry_core.settings import SettingError, options

_MODULE = "consentry_authority.audit_log"


@click.group()
def audit() -> None:
    """The audit log.

    Of the authority's data folder, on the machine itself; also while the authority runs.
    """


@audit.command()
@click.option(
    "--head",
    "files",
    type=click.Path(path_type=Path),
    multiple=True,
    help="File with a head that `export-head` printed earlier.",
)
@options(AuthoritySettings)
def verify(settings: AuthoritySettings, files: tuple[Path, ...]) -> None:
    """Look for entries that were changed, moved, left out or cut off, and for what is not as the last of them left it.

    Exit code 1 when there are any. That the end was cut off shows surely only against a head that was exported before, and kept
    where who runs the authority cannot change it.
    """
    heads = [_head(file) for file in files]
    head, problems = load(f"{_MODULE}:problems", "authority")(settings, heads)
    for problem in problems:
        say(problem, err=True)
    if problems:
        say(f"the audit log, or what it tells of, is not as it was written: {len(problems)} findings", err=True)
        raise click.exceptions.Exit(1)
    say(f"the audit log is whole, and everything is as it says: {head.number} entries")


@audit.command("export-head")
@options(AuthoritySettings)
def export_head(settings: AuthoritySettings) -> None:
    """Print the end of the log, as one line of JSON, to be kept elsewhere for `verify --head`."""
    say(json.dumps(asdict(load(f"{_MODULE}:export_head", "authority")(settings))))


@audit.command()
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only entries after this number.")
@options(AuthoritySettings)
def show(settings: AuthoritySettings, after: int) -> None:
    """Print the entries, each as one line of JSON, without looking whether they are as they were written."""
    for sealed in load(f"{_MODULE}:entries", "authority")(settings, after=after):
        entry: dict[str, Any] = asdict(sealed.entry)
        entry["document"] = json.loads(entry["document"]) if entry["document"] else None
        say(json.dumps({**entry, "digest": sealed.digest}))


def _head(file: Path) -> Any:
    try:
        said = json.loads(read_text(file, "exported head"))
        number, digest = int(said["number"]), str(said["digest"])
    except (ValueError, KeyError, TypeError) as error:
        raise SettingError(f"{file} holds no head of an audit log; `consentry audit export-head` prints one") from error
    return load("consentry_authority.audit.chain:Head", "authority")(number, digest)

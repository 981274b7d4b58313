"""`consentry audit`: the audit log of a data folder, for who runs the authority. On the machine itself, without a token."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from consentry_authority.settings import AuthoritySettings
from consentry_cli.helping import Group
from consentry_cli.lazy import load
from consentry_cli.output import say
from consentry_core.process.files import read_text
from consentry_core.process.settings import SettingError, options

_MODULE = "consentry_authority.setup.audit_log"


@click.group(cls=Group)
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
@click.option(
    "--exported",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    help="File that `export --remove` wrote; all of them, in their order.",
)
@options(AuthoritySettings)
def verify(settings: AuthoritySettings, files: tuple[Path, ...], exported: tuple[Path, ...]) -> None:
    """Look for entries that were changed, moved, left out or cut off, and for what is not as the last of them left it.

    Exit code 1 when there are any. That the end was cut off shows surely only against a head that was exported before, and kept
    where who runs the authority cannot change it.
    """
    heads = [_head(file) for file in files]
    head, problems = load(f"{_MODULE}:problems", "authority")(settings, heads, exported)
    for problem in problems:
        say(problem, err=True)
    if problems:
        say(f"the audit log, or what it tells of, is not as it was written: {len(problems)} findings", err=True)
        raise click.exceptions.Exit(1)
    say(f"the audit log is whole, and everything is as it says: {head.number} entries")


@audit.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--older-than", type=click.IntRange(min=0), default=0, metavar="DAYS", help="Only entries older than that.")
@click.option("--remove", is_flag=True, help="Take them out of the database, once they are in the file.")
@options(AuthoritySettings)
def export(settings: AuthoritySettings, file: Path, *, older_than: int, remove: bool) -> None:
    """Write entries to a new FILE, one line of JSON each, and look whether they are as they were written.

    With --remove the log begins after them from then on, which an entry of its own says. Customers' histories
    (`consentry consents events`) then begin there too. Keep the file: `verify --exported FILE` reads it.
    """
    if file.exists():
        raise SettingError(f"{file} is there already; export to a new file")
    last = load(f"{_MODULE}:export", "authority")(settings, file, older_than=older_than, remove=remove)
    if last is None:
        say("there are no such entries; nothing was written")
        return
    say(f"exported up to entry {last.number}{', and removed' if remove else ''}: {file}")


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

"""Commands about the schema: init, upgrade, downgrade, current, sql, doctor."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from idemdb import doctor, resources
from idemdb.alembic import environment, install, revision, traps
from idemdb.cli.common import (
    ExitCode,
    Failure,
    connect,
    dsn_option,
    engine,
    json_option,
    print_json,
    printable,
)
from idemdb.finding import Finding

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)

_MARKS = {"error": ("✗", "red"), "warning": ("!", "yellow"), "info": ("i", "blue"), "ok": ("✓", "green")}


@click.command()
@click.option("--config", "-c", type=_FILE, help="alembic.ini or pyproject.toml; else as alembic finds it.")
@click.option("--head", metavar="REVISION", help="The head to build on, where there are several.")
@click.option("--version-path", type=_FOLDER, help="The folder to write to, where there are several.")
def init(config: Path | None, head: str | None, version_path: Path | None) -> None:
    """Write a revision that installs idemdb into your Alembic folder.

    Needs no argument where alembic.ini is. Run again it writes nothing, unless this package brings a newer
    release than your revisions install.
    """
    try:
        found = revision.write(revision.find_config(config), head=head, version_path=version_path)
    except revision.ProjectError as error:
        raise Failure(str(error), error.hint) from error
    if found.written:
        click.echo(f"Wrote {found.path}\nNow run: alembic upgrade head")
    else:
        click.echo(f"Already there: {found.path} installs release {found.release}. Wrote nothing.")


@click.command()
@dsn_option
@click.option("--to", type=int, help="The release to install; else the newest.")
@click.option("--roles/--no-roles", default=True, help="Create idemdb's roles and grant to them.")
def upgrade(dsn: str, to: int | None, roles: bool) -> None:
    """Install the schema without Alembic of your own, or bring it up to date.

    One transaction; several at once wait for each other. A schema that your own migrations or a script
    installed is left to them.
    """
    goal = _release(to, resources.latest())
    try:
        before = environment.upgrade(engine(dsn), goal, roles=roles)
    except environment.InstalledOtherwiseError as error:
        raise Failure(
            str(error).capitalize(),
            "Upgrade it the way it came: idemdb init writes the next revision for your own Alembic, and "
            f"idemdb sql --from {error.version} --to {goal} the script for psql or Flyway.",
        ) from error
    if before.version >= goal:
        click.echo(f"Release {before.version} is installed. Nothing to do.")
    else:
        click.echo(f"Installed release {goal}" + (f" over {before.version}." if before.version else "."))


@click.command()
@dsn_option
@click.option("--to", type=int, help="The release to go back to, 0 for none; else one down.")
@click.option("--force", is_flag=True, help="Forget the keys that are still remembered.")
def downgrade(dsn: str, to: int | None, force: bool) -> None:
    """Take the schema down by a release.

    Refuses while keys are remembered, because forgetting them lets their operations run twice.
    """
    database = engine(dsn)
    with database.connect() as connection:
        present = environment.installed(connection).version
    goal = _release(to, max(present - 1, 0))
    try:
        before = environment.downgrade(database, goal, force=force)
    except environment.InstalledOtherwiseError as error:
        raise Failure(
            str(error).capitalize(),
            "Take it down the way it came: alembic downgrade with your own Alembic, else the script of "
            f"idemdb sql --from {error.version} --to {goal}.",
        ) from error
    if before.version <= goal:
        click.echo(f"Release {before.version} is installed. Nothing to do.")
    else:
        click.echo(f"Went from release {before.version} to {goal or 'none'}.")


@click.command()
@dsn_option
@json_option
def current(dsn: str, as_json: bool) -> None:
    """Show which release is installed, which is the newest, and how it was installed."""
    with engine(dsn).connect() as connection:
        state = environment.installed(connection)
    if as_json:
        print_json(asdict(state))
        return
    if not state.version:
        click.echo(f"Not installed; this package brings release {state.newest}.")
        return
    ways = {
        "idemdb upgrade": "by idemdb upgrade",
        "version_locations": "by your Alembic through version_locations",
        "unknown": "by a revision of yours or by a script",
        None: "",
    }
    newest = "the newest" if state.version == state.newest else f"this package brings {state.newest}"
    click.echo(f"Release {state.version} is installed ({newest}), {ways[state.by]}.")


@click.command()
@click.option("--from", "from_", type=int, default=0, show_default=True, help="The release that is there.")
@click.option("--to", type=int, help="The release to arrive at; else the newest.")
@click.option("--roles/--no-roles", default=True, help="Create idemdb's roles and grant to them.")
@click.option("--force", is_flag=True, help="Going down: forget the keys that are still remembered.")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="File; else stdout.")
def sql(from_: int, to: int | None, roles: bool, force: bool, output: Path | None) -> None:
    """Print the script that goes from one release to another, for psql, Flyway, Liquibase and the like.

    Without a database. A smaller --to gives the way down.
    """
    goal = _release(to, resources.latest())
    if _release(from_, 0) == goal:
        raise click.UsageError(f"--from and --to are both {goal}.")
    text = install.script(from_, goal, roles=roles, force=force)
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
        click.echo(f"Wrote {output}", err=True)


@click.command(name="doctor")
@dsn_option
@json_option
@click.option(
    "--config", "-c", type=_FILE, help="Your alembic.ini or pyproject.toml; else as alembic finds it."
)
@click.option("--verbose", "-v", is_flag=True, help="Show the checks that found nothing, too.")
def doctor_(dsn: str, as_json: bool, config: Path | None, verbose: bool) -> None:
    """Look for what weakens the promises, and say how to mend it.

    Changes nothing. Exit code 1 when it finds an error; warnings and hints leave it 0.
    """
    with connect(dsn, autocommit=True) as connection:
        findings = doctor.examine(connection)
    findings += traps.examine(engine(dsn), config)
    failed = any(finding.level == "error" for finding in findings)
    if as_json:
        print_json({"ok": not failed, "findings": [asdict(finding) for finding in findings]})
    else:
        _print_findings(findings, verbose=verbose)
    if failed:
        raise click.exceptions.Exit(ExitCode.NEGATIVE)


def _print_findings(findings: list[Finding], *, verbose: bool) -> None:
    for finding in findings:
        if finding.level == "ok" and not verbose:
            continue
        mark, colour = _MARKS[finding.level]
        click.secho(f"{mark} {finding.id}: {printable(finding.what)}", fg=colour)
        if finding.why:
            click.echo(f"    {printable(finding.why)}")
        for line in finding.mend.splitlines():
            click.echo(f"    → {printable(line)}")
    counts = {level: sum(finding.level == level for finding in findings) for level in _MARKS}
    click.echo(", ".join(f"{count} {level}" for level, count in counts.items()))


def _release(number: int | None, default: int) -> int:
    """Return the number of a release that this package carries, or 0."""
    chosen = default if number is None else number
    if chosen and chosen not in resources.releases():
        known = ", ".join(map(str, resources.releases()))
        raise click.UsageError(f"This package carries no release {chosen}, only {known}.")
    return chosen


COMMANDS = (init, upgrade, downgrade, current, sql, doctor_)

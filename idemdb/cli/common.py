"""What the commands share: the database they talk to, how they print, how they fail."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, TypeVar

import click
import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from idemdb.errors import IdemError, SchemaMissing, translate

F = TypeVar("F", bound=Callable[..., Any])

# libpq's own ways to name a database; without one of them and without a DSN the command refuses to guess.
_LIBPQ_VARIABLES = ("PGHOST", "PGHOSTADDR", "PGDATABASE", "PGSERVICE", "PGPORT")


class ExitCode(IntEnum):
    """What a command's exit code says."""

    OK = 0
    NEGATIVE = 1
    USAGE = 2
    DATABASE = 3


class Failure(click.ClickException):
    """End the command with a message, a hint and exit code 1, without a traceback.

    :param hint: what to do about it; empty for nothing.
    """

    exit_code = int(ExitCode.NEGATIVE)

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def show(self, file: Any = None) -> None:
        """Write message and hint to stderr.

        :param file: ignored; errors never mix with data.
        """
        click.echo(f"Error: {self.message}", err=True)
        if self.hint:
            click.echo(f"Hint: {self.hint}", err=True)


class Unusable(Failure):
    """End the command with exit code 3: the database cannot be reached or used."""

    exit_code = int(ExitCode.DATABASE)


class Commands(click.Group):
    """A group whose commands report database errors as messages."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        :raises Failure: in the place of every error of PostgreSQL and of idemdb.
        """
        try:
            return super().invoke(ctx)
        except (IdemError, DBAPIError, psycopg.Error) as error:
            raise _failure(error) from error


def _failure(error: Exception) -> Failure:
    """Say in a line what PostgreSQL or idemdb said."""
    known = error if isinstance(error, IdemError) else translate(error)
    if known is not None:
        failure = Unusable if isinstance(known, SchemaMissing) else Failure
        return failure(known.message, known.hint or "")
    original = getattr(error, "orig", error)
    if not isinstance(original, psycopg.Error):
        return Unusable(str(error).partition("\n")[0])
    diagnostic = original.diag
    hint = diagnostic.message_hint or ""
    if isinstance(original, psycopg.errors.InsufficientPrivilege) and not hint:
        hint = "Connect as a member of idemdb_admin, or as the owner of the schema."
    # DETAIL stays out: it shows the values of keys.
    return Unusable(diagnostic.message_primary or str(original).strip(), hint)


def dsn_option(command: F) -> F:
    """Give a command the option ``--dsn``, which it receives as ``dsn``, ready for psycopg.

    :param command: the function of the command.
    """
    return click.option(
        "--dsn",
        envvar="IDEMDB_DSN",
        callback=lambda _ctx, _param, value: parse_dsn(value),
        metavar="DSN",
        help="The database: a libpq URL, a keyword string, or a SQLAlchemy URL. Else IDEMDB_DSN, else "
        "libpq's own variables (PGHOST, PGDATABASE, PGSERVICE).",
    )(command)


def json_option(command: F) -> F:
    """Give a command the option ``--json``, which it receives as ``as_json``.

    :param command: the function of the command.
    """
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def parse_dsn(value: str | None) -> str:
    """Turn a DSN as people write it into a connection string of libpq.

    :param value: a URL (with or without SQLAlchemy's driver), a keyword string, or nothing.
    :raises click.UsageError: when it is no DSN, and when nothing says which database is meant.
    """
    if not value:
        if not any(os.environ.get(name) for name in _LIBPQ_VARIABLES):
            raise click.UsageError("Which database? Say --dsn or set IDEMDB_DSN.")
        return make_conninfo(fallback_application_name="idemdb")
    plain = re.sub(r"^(postgres(?:ql)?)\+\w+://", r"\1://", value)
    try:
        return make_conninfo(plain, fallback_application_name="idemdb")
    except psycopg.ProgrammingError as error:
        # libpq's message would repeat the string, a password included.
        raise click.UsageError("The DSN is neither a libpq URL nor a keyword string.") from error


def connect(dsn: str, *, autocommit: bool = False) -> psycopg.Connection:
    """Connect to the database.

    :param dsn: from `parse_dsn`.
    :param autocommit: whether each statement is a transaction of its own.
    :raises Unusable: when there is no connection.
    """
    try:
        return psycopg.connect(dsn, autocommit=autocommit)
    except psycopg.OperationalError as error:
        message = str(error).strip().splitlines()[0]
        raise Unusable(message, "Is the DSN right, and is the server up?") from error


def engine(dsn: str) -> Engine:
    """Make an engine for Alembic; its connections are closed after use.

    :param dsn: from `parse_dsn`.
    """
    return create_engine("postgresql+psycopg://", creator=lambda: connect(dsn), poolclass=NullPool)


def print_json(data: Any) -> None:
    """Print one JSON document: times in ISO 8601, spans in seconds, bytes in hexadecimal.

    :param data: anything of dicts, lists and plain values.
    """
    click.echo(json.dumps(data, default=_plain, ensure_ascii=False, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
    """Print rows as a table, or a sentence where there are none.

    :param columns: the headings.
    :param rows: values in the order of the headings.
    :param empty: the sentence.
    """
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        # As Text: in a string, rich would take [brackets] for its markup.
        table.add_row(*(Text(_shown(value)) for value in row))
    if table.row_count:
        # A pipe gets whole lines: cutting a key in two would make it useless.
        console = Console()
        console.print(table) if console.is_terminal else Console(width=10_000).print(table)
    else:
        click.echo(empty)


def query(dsn: str, text: str, **parameters: Any) -> list[dict[str, Any]]:
    """Return the rows of a query as dicts.

    :param dsn: from `parse_dsn`.
    :param text: SQL with parameters by name.
    :param parameters: their values.
    """
    with connect(dsn) as connection, connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(text.encode(), parameters).fetchall()


def print_rows(rows: Sequence[Mapping[str, Any]], *, as_json: bool, empty: str) -> None:
    """Print rows of a query as JSON, else as a table.

    :param rows: from `query`.
    :param empty: the sentence to print where there are none.
    """
    if as_json:
        print_json(rows)
    else:
        print_table(list(rows[0]) if rows else [], (list(row.values()) for row in rows), empty=empty)


def print_fields(fields: Mapping[str, Any]) -> None:
    """Print names and values one below the other, without those that are None.

    :param fields: in the order to print them.
    """
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        if value is not None:
            click.echo(f"{name:<{width}}  {_shown(value)}")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def printable(text: str) -> str:
    """Replace control characters, so that a key or an application's name cannot drive the terminal.

    :param text: one line of whoever wrote it.
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=_plain)
    if isinstance(value, timedelta):
        return str(timedelta(seconds=round(value.total_seconds())))
    if isinstance(value, bytes):
        return value.hex()
    return printable(str(value))

"""Commands about the user's own tables: helpers."""

from __future__ import annotations

from dataclasses import asdict

import click

from idemdb import row_helpers
from idemdb.cli.common import connect, dsn_option, json_option, print_json, print_table
from idemdb.helper_sql import VERBS, Verb

_verb_option = click.option(
    "--verb", "verbs", multiple=True, type=click.Choice(VERBS), help="May be given several times; else all."
)
_schema_option = click.option("--schema", help="Of the table; else it is found by search_path.")


@click.group()
def helpers() -> None:
    """Typed functions beside a table, which any language calls."""


@helpers.command()
@dsn_option
@json_option
@_verb_option
@_schema_option
@click.option(
    "--column",
    "columns",
    multiple=True,
    help="A parameter beside the key's; may be given several times. Else all columns without default, "
    "identity or generation.",
)
@click.option("--sql", "as_sql", is_flag=True, help="Print the statements instead of running them.")
@click.argument("table")
@click.argument("natural_key")
def add(
    dsn: str,
    as_json: bool,
    verbs: tuple[Verb, ...],
    schema: str | None,
    columns: tuple[str, ...],
    as_sql: bool,
    table: str,
    natural_key: str,
) -> None:
    """Make the helpers of a table by one of its unique indexes, or renew them.

    One transaction. Whoever could execute a helper before still can.
    """
    with connect(dsn) as connection:
        database = row_helpers.of_psycopg(connection)
        made = row_helpers.plan(
            database, table, natural_key, verbs or VERBS, schema=schema, columns=columns or None
        )
        statements = row_helpers.statements(database, made)
        if not as_sql:
            for statement in statements:
                database.execute(statement)
    if as_sql and as_json:
        print_json({"statements": statements})
    elif as_sql:
        click.echo("".join(f"{statement};\n" for statement in statements), nl=False)
    elif as_json:
        print_json({"helpers": [helper.signature for helper in made]})
    else:
        for helper in made:
            click.echo(f"Made {helper.signature}")


@helpers.command()
@dsn_option
@json_option
@_verb_option
@_schema_option
@click.argument("table")
@click.argument("natural_key")
def drop(
    dsn: str, as_json: bool, verbs: tuple[Verb, ...], schema: str | None, table: str, natural_key: str
) -> None:
    """Drop the helpers of a table and natural key, where they are there.

    Neither table nor index need exist any more.
    """
    with connect(dsn) as connection:
        gone = row_helpers.drop(
            row_helpers.of_psycopg(connection), table, natural_key, verbs or VERBS, schema=schema
        )
    if as_json:
        print_json({"dropped": gone})
    else:
        click.echo("".join(f"Dropped {name}\n" for name in gone) or "No such helpers.\n", nl=False)


@helpers.command("list")
@dsn_option
@json_option
def list_(dsn: str, as_json: bool) -> None:
    """List the helpers of the database, and whether they fit their tables."""
    with connect(dsn) as connection:
        database = row_helpers.of_psycopg(connection)
        found = row_helpers.installed(database)
        stale = {(s.helper.schema, s.helper.name): s.why for s in row_helpers.stale(database)}
    if as_json:
        print_json([asdict(h) | {"stale": stale.get((h.schema, h.name))} for h in found])
    else:
        print_table(
            ("helper", "types", "table", "natural key", "stale"),
            ((f"{h.schema}.{h.name}", h.types, h.table, h.key, stale.get((h.schema, h.name))) for h in found),
            empty="No helpers.",
        )


COMMANDS = (helpers,)

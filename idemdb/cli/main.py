"""The command `idemdb`."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import click

import idemdb
from idemdb.cli import events, keys, rows, schema
from idemdb.cli.common import Commands


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(idemdb.__version__, prog_name="idemdb")
def main() -> None:
    """Idempotency enforced inside PostgreSQL.

    Exit codes: 0 done; 1 the command's finding is negative (doctor found an error, the database refused);
    2 wrong usage; 3 the database cannot be reached or used.
    """


for _command in (*schema.COMMANDS, *keys.COMMANDS, *events.COMMANDS, *rows.COMMANDS):
    main.add_command(_command)
for _name in ("demo", "bench"):
    if find_spec(f"idemdb.cli.{_name}"):
        main.add_command(getattr(import_module(f"idemdb.cli.{_name}"), _name))

"""Write the typed row helpers: from a table and its natural key, described, to the text of functions."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from idemdb import helper_batch, helper_body
from idemdb.errors import InvalidArgument
from idemdb.helper_parts import Column, NaturalKey, Parts, Shape, Table, literal, quoted

Verb = Literal["create", "put", "delete", "create_many", "put_many"]
VERBS: tuple[Verb, ...] = get_args(Verb)

# Who may call idemdb may call the helpers, where that role is there.
ROLE = "idemdb_user"
MARK = "idemdb helper: "
NAME_BYTES = 63

_OUTCOMES = {
    "create": "created, existing",
    "put": "created, updated, unchanged",
    "delete": "deleted, absent",
}
_DOES = {
    "create": "Create a row of {table} unless its natural key {key} is there.",
    "put": "Make the row of {table} with this natural key {key} be as given; writes nothing where it is.",
    "delete": "Delete the row of {table} with this natural key {key}.",
    "create_many": "Create rows of {table} unless their natural key {key} is there; the first of a repeated "
    "key counts. One array for each column.",
    "put_many": "Make the rows of {table} with these natural keys {key} be as given; the last of a repeated "
    "key counts, an earlier one with another content is stale. One array for each column.",
}


@dataclass(frozen=True)
class Helper:
    """A typed helper, ready to be made.

    :param schema: of the table and of the function.
    :param name: of the function.
    :param table: that it writes to.
    :param key: the name of the unique index that it works by.
    :param verb: what it does.
    :param columns: the columns that were chosen, None for the usual ones.
    :param arguments: its parameters as SQL, names and types.
    :param types: of its parameters.
    :param text: CREATE OR REPLACE FUNCTION.
    :param digest: of the text, and so of the columns and of the index that it was made from.
    """

    schema: str
    name: str
    table: str
    key: str
    verb: Verb
    columns: tuple[str, ...] | None
    arguments: tuple[tuple[str, str], ...]
    types: tuple[str, ...]
    text: str
    digest: str
    tombstone: bool

    @property
    def signature(self) -> str:
        """Return name and types, as ``drop function`` and ``comment on function`` take them."""
        return f"{quoted(self.schema)}.{quoted(self.name)}({', '.join(self.types)})"

    @property
    def comment(self) -> str:
        """Return the comment: a sentence for people, and a last line by which the helper is found again."""
        verb = self.verb.removesuffix("_many")
        outcomes = _OUTCOMES[verb] + (", gone" if self.tombstone and verb != "delete" else "")
        if self.verb == "put_many":
            outcomes += ", stale"
        does = _DOES[self.verb].format(table=f"{self.schema}.{self.table}", key=self.key)
        facts = {
            "table": self.table,
            "key": self.key,
            "verb": self.verb,
            "columns": self.columns,
            "digest": self.digest,
        }
        return (
            f"{does} Outcomes: {outcomes}. Errors: ID004 (null in the key, outside the predicate), 40001 "
            f"(repeat the transaction), 42501 (no right, or the row is hidden).\n"
            f"{MARK}{json.dumps(facts, ensure_ascii=False)}"
        )

    def statements(self) -> Iterator[str]:
        """Give the statements that make or renew the helper; each may be run again."""
        yield self.text
        yield f"comment on function {self.signature} is {literal(self.comment)}"
        yield f"revoke all on function {self.signature} from public"
        grant = f"grant execute on function {self.signature} to {ROLE}"
        yield (
            f"do $idemdb_grant$\nbegin\n"
            f"    if exists (select from pg_catalog.pg_roles as r where r.rolname = '{ROLE}') then\n"
            f"        execute {literal(grant)};\n    end if;\nend\n$idemdb_grant$"
        )


def name(table: str, verb: str, key: str) -> str:
    """Return the name of a helper: ``users_put_by_email_key``.

    :param table: its name without schema.
    :param verb: what the helper does.
    :param key: the name of the natural key; a leading ``<table>_`` is left out.
    :raises InvalidArgument: when the name is longer than PostgreSQL keeps.
    """
    made = f"{table}_{verb}_by_{key.removeprefix(f'{table}_')}"
    if len(made.encode()) > NAME_BYTES:
        raise InvalidArgument(
            f"the name {made} has {len(made.encode())} bytes, and PostgreSQL keeps {NAME_BYTES}",
            hint="Give the index a shorter name: alter index … rename to …",
        )
    return made


def render(table: Table, key: NaturalKey, verb: Verb, columns: Sequence[str] | None = None) -> Helper:
    """Return a helper.

    :param table: as it is in the catalogue.
    :param key: one of its natural keys.
    :param verb: what the helper does.
    :param columns: the columns to take as parameters, beside the key's; None for all without default,
        identity or generation.
    :raises InvalidArgument: for a column that cannot be given, and for names that get too long.
    """
    if verb not in VERBS:
        raise InvalidArgument(f"there is no verb {verb}", hint=f"Verbs are {', '.join(VERBS)}.")
    taken = _keys(table, key) if verb == "delete" else _taken(table, key, columns)
    many = verb.endswith("_many")
    parts = Parts(table, key, taken)
    arguments = tuple((_parameter(column), column.array if many else column.type) for column in taken)
    made = name(table.name, verb, key.name)
    body = (helper_batch if many else helper_body).body(parts, verb.removesuffix("_many"))
    text = _function(table, made, arguments, body, many=many)
    return Helper(
        schema=table.schema,
        name=made,
        table=table.name,
        key=key.name,
        verb=verb,
        columns=None if columns is None else tuple(columns),
        arguments=arguments,
        types=tuple(type_ for _, type_ in arguments),
        text=text,
        digest=hashlib.sha256(text.encode()).hexdigest(),
        tombstone=key.tombstone is not None,
    )


def _taken(table: Table, key: NaturalKey, chosen: Sequence[str] | None) -> tuple[Column, ...]:
    """Return the columns that are parameters, in the order of the table, the key's first."""
    known = {column.name for column in table.columns}
    for column_name in chosen or ():
        if column_name not in known:
            raise InvalidArgument(
                f"{table.name} has no column {column_name}",
                hint=f"Its columns are {', '.join(column.name for column in table.columns)}.",
            )
    keys = _keys(table, key)
    if chosen is None:
        others = [c for c in table.columns if c.usual and c.name != key.tombstone]
    else:
        others = [c for c in table.columns if c.name in chosen]
    taken = (*keys, *(column for column in others if column not in keys))
    for column in taken:
        why = "is generated" if column.generated else "is an identity" if column.identity == "a" else ""
        if why:
            raise InvalidArgument(
                f"column {column.name} of {table.name} {why} and cannot be given", hint="Leave it out."
            )
    return taken


def _keys(table: Table, key: NaturalKey) -> tuple[Column, ...]:
    return tuple(column for column in table.columns if column.name in key.columns)


def _parameter(column: Column) -> str:
    made = f"p_{column.name}"
    if len(made.encode()) > NAME_BYTES:
        raise InvalidArgument(
            f"the parameter {made} has {len(made.encode())} bytes, and PostgreSQL keeps {NAME_BYTES}",
            hint="Give the column a shorter name, or leave it out with columns=[…].",
        )
    return made if re.fullmatch("[a-z0-9_]+", made) else quoted(made)


def _function(table: Table, made: str, arguments: Sequence[tuple[str, str]], body: str, *, many: bool) -> str:
    listed = ", ".join(f"{argument} {type_}" for argument, type_ in arguments)
    answer = "item integer, outcome text, record jsonb" if many else "outcome text, record jsonb"
    tag = "$idemdb$"
    while tag in body:
        tag = f"{tag[:-1]}_$"
    return (
        f"create or replace function {quoted(table.schema)}.{quoted(made)}({listed})\n"
        f"returns table ({answer})\n"
        f"language plpgsql volatile security invoker\nas {tag}\n{body}{tag}"
    )


__all__ = [
    "MARK",
    "ROLE",
    "VERBS",
    "Column",
    "Helper",
    "NaturalKey",
    "Shape",
    "Table",
    "Verb",
    "name",
    "render",
]

from __future__ import annotations

from typing import Any

import pytest

from idemdb.errors import InvalidArgument
from idemdb.natural_key import TEMPLATES, describe, read_comment

SQL = [
    (["email"], "plain", {}, '("email")'),
    (["org", "email"], "tenant-scoped", {}, '("org", "email")'),
    (["org", "email"], "case-insensitive", {}, '("org", (lower("email")))'),
    (["email"], "soft-delete", {}, '("email") where deleted_at is null'),
    (["email"], "soft-delete", {"where": "gone is null"}, '("email") where gone is null'),
    (["org"], "one-active", {"where": "active"}, '("org") where active'),
    (["email"], "nulls-not-distinct", {}, '("email")'),
    (["raw:bytea"], "digest", {}, '((sha256("raw")))'),
    (["doc"], "digest", {}, r"""((sha256(replace("doc"::text, E'\\', E'\\\\')::bytea)))"""),
    (["doc->id"], "json-path", {}, """(("doc" ->> 'id'))"""),
    (["doc->a->'it''s'"], "json-path", {}, """(("doc" #>> '{"a","it''''s"}'))"""),
    (["doc->0"], "json-path", {}, """(("doc" #>> '{"0"}'))"""),
    (
        ["org", "at/5 minutes"],
        "time-window",
        {},
        """("org", (date_bin('5 minute', "at", '2001-01-01 00:00+00')))""",
    ),
    (['Größe"'], "plain", {}, '("Größe""")'),
]


@pytest.mark.parametrize(("columns", "template", "options", "target"), SQL)
def test_what_follows_from_a_template(
    columns: list[str], template: str, options: dict[str, Any], target: str
) -> None:
    key = describe("things", columns, template, schema="app", **options)
    assert key.conflict_target == target
    elements, _, predicate = target.partition(" where ")
    nulls = " nulls not distinct" if template == "nulls-not-distinct" else ""
    assert key.create_index() == (
        f'create unique index concurrently "{key.name.replace(chr(34), chr(34) * 2)}" on "app"."things" '
        f"{elements}{nulls}" + (f" where {predicate}" if predicate else "")
    )


def test_every_template_is_tried() -> None:
    assert {template for _, template, _, _ in SQL} == set(TEMPLATES)


def test_names() -> None:
    assert describe("users", "email").name == "users_email_key"
    assert describe("users", ["doc->a->b"], "json-path").name == "users_doc_a_b_key"
    assert describe("users", ["org", "at/1 day"], "time-window").name == "users_org_at_key"
    assert describe("users", "email", name="mine").name == "mine"


def test_the_comment_says_template_and_tombstone() -> None:
    assert describe("users", "email").comment == 'idemdb natural key: {"template": "plain"}'
    key = describe("users", "email", tombstone="deleted_at")
    assert key.comment == 'idemdb natural key: {"template": "plain", "tombstone": "deleted_at"}'
    assert read_comment(key.comment) == {"template": "plain", "tombstone": "deleted_at"}
    for other in (None, "", "a comment", "idemdb natural key: {", 'idemdb natural key: {"template": "x"}'):
        assert read_comment(other) is None


BAD: list[tuple[str, Any, str, dict[str, Any]]] = [
    ("users", "email", "unheard", {}),
    ("users", [], "plain", {}),
    ("", "email", "plain", {}),
    ("users", "", "plain", {}),
    ("users", "e\0", "plain", {}),
    ("users", ["email", "email"], "plain", {}),
    ("users", "email", "tenant-scoped", {}),
    ("users", "org", "one-active", {}),
    ("users", "org", "one-active", {"where": " "}),
    ("users", "org", "one-active", {"where": "true; drop table users"}),
    ("users", "doc", "json-path", {}),
    ("users", "doc->", "json-path", {}),
    ("users", "at/5 minutes", "time-window", {}),
    ("users", ["org", "at"], "time-window", {}),
    ("users", ["org", "at/0 minutes"], "time-window", {}),
    ("users", ["org", "at/1 month"], "time-window", {}),
    ("users", "email", "soft-delete", {"tombstone": "deleted_at"}),
    ("users", "email", "plain", {"tombstone": "gone", "where": "gone is null"}),
    ("users", "email", "plain", {"tombstone": "email"}),
    ("users", "x" * 60, "plain", {}),
    ("users", "email", "plain", {"name": "ä" * 32}),
]


@pytest.mark.parametrize(("table", "columns", "template", "options"), BAD)
def test_refusals_have_a_hint(table: str, columns: Any, template: str, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        describe(table, columns, template, **options)
    assert caught.value.hint

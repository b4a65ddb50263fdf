"""Look at an application's Alembic project for the traps that Alembic itself keeps silent about."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import coerce_resource_to_filename
from sqlalchemy import Engine, inspect, text

from idemdb import resources
from idemdb.alembic import revision
from idemdb.finding import Finding

_OWN_LOCATION = re.compile(r"\bidemdb(?:[:./\\]\w+)*\b")
_INCLUDE_SCHEMAS = re.compile(r"\binclude_schemas\s*=\s*True\b")
_PACKAGE_REVISION = re.compile(r"idemdb_\d{4}")


def examine(engine: Engine, file: Path | None = None) -> list[Finding]:
    """Say what is wrong with the project, one finding at least; nothing where there is no project.

    :param engine: of the project's database.
    :param file: its alembic.ini or pyproject.toml; else it is looked for as Alembic does.
    :raises revision.ProjectError: when ``file`` is given and is no Alembic configuration.
    """
    try:
        config = revision.find_config(file)
    except revision.ProjectError:
        if file is not None:
            raise
        return []
    found = list(_split_locations(config))
    try:
        directory = revision.scripts(config)
    except revision.ProjectError as error:
        return [
            *found,
            Finding("alembic-revisions", "error", str(error), "No alembic command works.", error.hint),
        ]
    for look in (_heads, _only_package_folder, _installs, _autogenerate):
        found += look(directory)
    found += _unknown_revisions(directory, engine)
    return found or [Finding("alembic", "ok", "the Alembic project has none of the known traps")]


def _split_locations(config: Config) -> Iterator[Finding]:
    """Alembic splits ``package:path`` at the colon, finds nothing, and says nothing."""
    raw = config.get_main_option("version_locations") or ""
    seen = config.get_version_locations_list() or []
    if ":" in raw and _OWN_LOCATION.search(raw) and "idemdb" in seen:
        yield Finding(
            "alembic-locations",
            "error",
            "version_locations is split at the colon of idemdb:migrations/versions",
            "Alembic finds none of idemdb's revisions and reports success.",
            "path_separator = newline  (in alembic.ini; one folder a line)",
        )


def _heads(directory: ScriptDirectory) -> Iterator[Finding]:
    heads = directory.get_heads()
    if len(heads) > 1:
        own = [head for head in heads if _PACKAGE_REVISION.fullmatch(head)]
        yield Finding(
            "alembic-heads",
            "info" if own and len(heads) == 2 else "warning",
            f"the project has {len(heads)} heads: {', '.join(heads)}",
            "alembic upgrade head and alembic revision fail.",
            "alembic upgrade heads\nalembic revision --head <your head> -m …"
            if own
            else "alembic merge heads -m merge",
        )


def _only_package_folder(directory: ScriptDirectory) -> Iterator[Finding]:
    package = (resources.MIGRATIONS / "versions").resolve()
    folders = [coerce_resource_to_filename(folder).resolve() for folder in directory.version_locations or []]
    if folders and all(folder == package for folder in folders):
        yield Finding(
            "alembic-folder",
            "error",
            "idemdb's folder is the only one in version_locations",
            "alembic revision writes your revisions into the installed package: the next install loses them.",
            "name your own versions folder first in version_locations",
        )


def _installs(directory: ScriptDirectory) -> Iterator[Finding]:
    present = revision.installing(directory)
    newest = resources.latest()
    if not present or present[0].release < newest:
        has = f"up to {present[0].release}" if present else "none"
        yield Finding(
            "alembic-release",
            "info",
            f"the revisions install {has} of idemdb's releases, and this package brings {newest}",
            "A database made from these revisions lacks what the package calls.",
            "idemdb init",
        )


def _autogenerate(directory: ScriptDirectory) -> Iterator[Finding]:
    env = Path(directory.env_py_location)
    source = env.read_text(encoding="utf-8") if env.is_file() else ""
    if _INCLUDE_SCHEMAS.search(source) and "idemdb" not in source:
        yield Finding(
            "alembic-autogenerate",
            "warning",
            f"{env} has include_schemas=True, and nothing that leaves idemdb out",
            "alembic revision --autogenerate proposes to drop idemdb's tables.",
            "from idemdb.alembic import include_name  (and include_name=include_name in context.configure)",
        )


def _unknown_revisions(directory: ScriptDirectory, engine: Engine) -> Iterator[Finding]:
    """Find the database at one of idemdb's own revisions while the project no longer sees their folder."""
    known = {script.revision for script in directory.walk_revisions()}
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return
        present = connection.scalars(text("select version_num from alembic_version")).all()
    lost = [name for name in present if _PACKAGE_REVISION.fullmatch(name) and name not in known]
    if lost:
        yield Finding(
            "alembic-lost",
            "error",
            f"the database is at {', '.join(lost)}, which the project no longer sees",
            "Every alembic command fails: Can't locate revision.",
            "put idemdb:migrations/versions back into version_locations, or, when idemdb is to stay "
            "without it:\n"
            + "\n".join(f"delete from alembic_version where version_num = '{name}';" for name in lost),
        )

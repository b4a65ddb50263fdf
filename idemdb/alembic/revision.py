"""Write the revision that installs idemdb into an application's own Alembic folder."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError, rev_id

from idemdb import resources

_UPGRADE_CALL = re.compile(r"\bidemdb_upgrade\(\s*(?:to\s*=\s*)?(\d+)")


class ProjectError(Exception):
    """The application's Alembic project cannot be used as it is; the hint says what to do first.

    :param hint: what to do.
    """

    def __init__(self, message: str, hint: str) -> None:
        self.hint = hint
        super().__init__(message)


@dataclass(frozen=True)
class Revision:
    """A revision of the application that installs idemdb.

    :param path: its file.
    :param revision: its identifier.
    :param release: the release that it brings.
    :param written: false when it was there before.
    """

    path: Path
    revision: str
    release: int
    written: bool


def find_config(file: Path | None = None) -> Config:
    """Find the application's Alembic configuration as Alembic's own command does.

    :param file: an ``alembic.ini`` or ``pyproject.toml``; else ``ALEMBIC_CONFIG``, else both names in the
        current folder.
    :raises ProjectError: when there is none.
    """
    named = file or (Path(os.environ["ALEMBIC_CONFIG"]) if os.environ.get("ALEMBIC_CONFIG") else None)
    ini, toml = Path("alembic.ini"), Path("pyproject.toml")
    if named is not None and named.name == "pyproject.toml":
        toml = named
    elif named is not None:
        ini = named
    try:
        config = Config(file_=str(ini), toml_file=str(toml))
        location = config.get_alembic_option("script_location")
    except (CommandError, OSError) as error:
        raise ProjectError(f"cannot read the Alembic configuration: {error}", "Mend that file.") from error
    if not location:
        raise ProjectError(
            f"found no Alembic configuration in {named or Path.cwd()}",
            "Go to the folder of alembic.ini (or of the pyproject.toml with a [tool.alembic] table), "
            "name the file with --config, or make one: alembic init migrations.",
        )
    return config


def scripts(config: Config) -> ScriptDirectory:
    """Open the application's folder of revisions.

    :param config: from `find_config`.
    :raises ProjectError: when the folder is missing or a file in it cannot be loaded.
    """
    try:
        directory = ScriptDirectory.from_config(config)
        directory.get_heads()
    except CommandError as error:
        raise ProjectError(f"cannot read the revisions: {error}", "Mend that first.") from error
    return directory


def installing(directory: ScriptDirectory) -> list[Revision]:
    """Return the revisions that install a release of idemdb, the package's own included, the newest first.

    :param directory: from `scripts`.
    """
    found = []
    for script in directory.walk_revisions():
        path = Path(script.path)
        calls = _UPGRADE_CALL.findall(path.read_text(encoding="utf-8"))
        found += [Revision(path, script.revision, int(to), written=False) for to in calls]
    return sorted(found, key=lambda revision: revision.release, reverse=True)


def write(config: Config, *, head: str | None = None, version_path: Path | None = None) -> Revision:
    """Write a revision on top of the current head that brings idemdb's newest release.

    Uses the application's own template and hooks. Where the application has such a revision already,
    writes nothing and returns that one; where it has one of an older release, the new one goes on from there.

    :param config: from `find_config`.
    :param head: the head to build on, where there are several.
    :param version_path: the folder to write to, where there are several.
    :raises ProjectError: when there are several heads or folders and none was named, and where a revision
        has functions for several databases.
    """
    directory = scripts(config)
    newest = resources.latest()
    present = installing(directory)
    if present and present[0].release >= newest:
        return present[0]
    heads = directory.get_heads()
    if head is None and len(heads) > 1:
        raise ProjectError(
            f"this project has {len(heads)} heads: {', '.join(heads)}",
            "Merge them (alembic merge heads -m 'merge'), or name the one to build on with --head.",
        )
    if config.get_main_option("databases"):
        raise ProjectError(
            "this project migrates several databases, each in functions of its own",
            f"Make a revision by hand that calls op.idemdb_upgrade(to={newest}) and "
            f"op.idemdb_downgrade(to=0, from_={newest}) for the database that is to have idemdb.",
        )
    return _generate(directory, present[0].release if present else 0, newest, head, version_path)


def _generate(
    directory: ScriptDirectory, from_: int, to: int, head: str | None, version_path: Path | None
) -> Revision:
    since = f", from_={from_}" if from_ else ""
    try:
        script = directory.generate_revision(
            rev_id(),
            f"install idemdb release {to}",
            head=head,
            version_path=version_path,
            imports="import idemdb.alembic  # noqa: F401  (op.idemdb_upgrade)",
            upgrades=f"op.idemdb_upgrade(to={to}{since})",
            downgrades=f"op.idemdb_downgrade(to={from_}, from_={to})",
        )
    except CommandError as error:
        raise ProjectError(str(error), "Say more with --head and --version-path.") from error
    if script is None:
        raise ProjectError(
            "Alembic does not see the file that it wrote", "Look at file_template in the configuration."
        )
    return Revision(Path(script.path), script.revision, to, written=True)

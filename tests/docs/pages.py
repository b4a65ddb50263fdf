"""Run the code of a page of the documentation, and compare what it prints with what the page shows.

A block of ``python`` or ``sql`` is run, in the order of the page; all of a page share a database and, in
Python, their names. A block of ``text`` right after one is what it prints. A comment ``<!-- file: NAME -->``
before a block makes it a file, which is written and not run. In a block of ``console`` the commands that the
caller picks are run, and the lines below each are what it prints. Blocks of other languages are left alone.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(
    r"^(?:<!-- file: (?P<file>\S+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    :param language: the word behind the fence.
    :param text: what it holds.
    :param file: the name that the comment before it gives it.
    :param line: where it begins.
    """

    language: str
    text: str
    file: str | None
    line: int


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page."""
    text = page.read_text()
    return [
        Block(
            found["language"], found["text"], found["file"], text.count("\n", 0, found.start("language")) + 1
        )
        for found in _BLOCK.finditer(text)
    ]


@dataclass(frozen=True)
class Shell:
    """Where a page is run.

    :param dsn: of the database; pages find it in the variable IDEMDB_DSN.
    :param psql: the program.
    :param folder: the working directory.
    :param python: the interpreter; commands are looked for beside it first.
    :param commands: the first words of the commands to run.
    """

    dsn: str
    psql: Path
    folder: Path
    python: Path
    commands: tuple[str, ...] = ("python", "pytest")

    def run(self, command: Sequence[str | Path], text: str | None = None) -> str:
        """Run a command and return what it printed; it must succeed.

        :param text: its standard input.
        """
        environment = os.environ | {
            "IDEMDB_DSN": self.dsn,
            "IDEMDB_TEST_DSN": self.dsn,
            "PATH": f"{self.python.parent}{os.pathsep}{os.environ['PATH']}",
        }
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            input=text or "",
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def sql(self, text: str) -> str:
        """Run a script of SQL and return what psql printed."""
        return self.run([self.psql, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", self.dsn], text)


def outputs(page: Path, shell: Shell) -> Iterator[tuple[str, str, str]]:
    """Run a page, and give for each output that it shows: where, the output shown, the output got."""
    names: dict[str, Any] = {"__name__": "__main__"}
    got: str | None = None
    for block in blocks(page):
        where = f"{page.name}:{block.line}"
        if block.language == "text" and got is not None:
            yield where, _trim(block.text), _trim(got)
            got = None
        elif block.file:
            (shell.folder / block.file).write_text(block.text)
        elif block.language == "python":
            got = _python(block, where, names)
        elif block.language == "sql":
            got = shell.sql(block.text)
        elif block.language == "console":
            yield from ((where, *pair) for pair in _console(block.text, shell))
    for value in names.values():
        if isinstance(value, Engine):
            value.dispose()  # a page need not end its pool, a process does


def _console(text: str, shell: Shell) -> Iterator[tuple[str, str]]:
    """Run commands, and give for each that shows an output: the output shown, the output got."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, _, shown = part.partition("\n")
        command = shlex.split(line, comments=True)
        if command and command[0] in shell.commands:
            got = shell.run(command)
            if shown:
                yield _trim(shown), _trim(got)


def _trim(text: str) -> str:
    """Leave out blanks at the ends of lines and of the text: pages do not show them."""
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def _python(block: Block, where: str, names: dict[str, Any]) -> str:
    """Run a block of Python and return what it printed."""
    # Lines keep their numbers on the page.
    code = compile("\n" * block.line + block.text, where, "exec", dont_inherit=True)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, names)
    return printed.getvalue()

"""docs/reference/cli.md names every command and every option, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from idemdb.cli.main import main

PAGE = (Path(__file__).parents[2] / "docs/reference/cli.md").read_text()
SECTIONS = dict(re.findall(r"^##+ idemdb ([\w -]+)\n(.*?)(?=^##+ |\Z)", PAGE, re.MULTILINE | re.DOTALL))
COMMANDS = dict(main.commands)
for _name, _group in main.commands.items():
    if isinstance(_group, click.Group):
        COMMANDS |= {f"{_name} {name}": command for name, command in _group.commands.items()}
HOW_TO = Path(__file__).parents[2] / "docs/how-to/operate-with-doctor.md"


def test_every_command_has_a_section() -> None:
    assert sorted(SECTIONS) == sorted(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_is_listed(name: str) -> None:
    options = {
        option
        for parameter in COMMANDS[name].params
        if isinstance(parameter, click.Option)
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    items = re.findall(r"^- (`-.*?)(?::|$)", SECTIONS.get(name, ""), re.MULTILINE)
    assert {option for item in items for option in re.findall(r"`(--?[\w-]+)`", item)} == options


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(name: str) -> None:
    command = COMMANDS[name]
    assert command.get_short_help_str()
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name != "help":
            assert parameter.help, parameter.name


def test_every_check_of_doctor_is_listed() -> None:
    from idemdb.doctor import CHECKS

    listed = re.findall(r"^\| `([\w-]+)` \|", HOW_TO.read_text(), re.MULTILINE)
    assert listed == [check.id for check in CHECKS]

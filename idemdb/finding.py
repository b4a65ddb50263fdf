"""What a look at a database or at a project found, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "info", "ok"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    :param id: of the check, stable.
    :param level: ``error``: a promise is broken or nothing works; ``warning``: it may be one day; ``info``:
        worth knowing; ``ok``: looked at, nothing found.
    :param what: the finding in a sentence.
    :param why: what it leads to.
    :param mend: the statements or commands that mend it, one a line.
    """

    id: str
    level: Level
    what: str
    why: str = ""
    mend: str = ""

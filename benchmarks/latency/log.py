"""Every pair of gates as it was run, one line each, so that a run of hours that is stopped loses seconds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.code import code_digest
from harness.judge.verdict import State
from harness.run.environment import environment
from latency import MARGIN
from latency.gate import Answer

# What a verdict comes from, with all that these import.
CODE = ("latency.cell", "harness.run.timing", "harness.judge.case", "harness.retake")
# On which side of the limit the truth lies, and truth ÷ limit there.
SIDES = {"below": 1 - MARGIN, "above": 1 + MARGIN}


@dataclass(frozen=True)
class Pair:
    """Two gates, the truth that they were held to, and the truth just after them: compressed ÷ float."""

    truth: float
    after: float
    below: Answer
    above: Answer

    @property
    def steady(self) -> bool:
        """Whether the truth stayed where it was, by half of what the limits are away from it."""
        return abs(self.after / self.truth - 1) <= MARGIN / 2


@dataclass(frozen=True)
class Log:
    """Pairs that this code has run on such a machine; those of other code, machines and ways are left where they are.

    Attributes:
        path: JSON, a line a pair; None keeps nothing.
    """

    path: Path | None = None

    @classmethod
    def beside(cls, path: Path | None) -> Log:
        """That of a file of cells."""
        return cls(path and path.with_name(f"{path.name}.gates"))

    def read(self, workload: str, load: str, way: Mapping[str, Any]) -> list[Pair]:
        """Of one workload under one load that were run this way, in the order in which they were run."""
        if self.path is None or not self.path.exists():
            return []
        lines = list(_whole(self.path.read_text()))
        wanted = _key(workload, load, way)
        found = [line for line in lines if all(line.get(name) == value for name, value in wanted.items())]
        return [Pair(line["truth"], line["after"], *(_answer(line[side]) for side in SIDES)) for line in found]

    def add(self, workload: str, load: str, way: Mapping[str, Any], pair: Pair) -> None:
        """Append one."""
        if self.path is not None:
            with self.path.open("a") as file:
                # On a line of its own even after one that was cut short.
                file.write(f"\n{json.dumps({**_key(workload, load, way), **asdict(pair)})}")


def place() -> str:
    """The machine and its libraries, and all the code that a gate's verdict comes from."""
    return f"{environment().fingerprint(1, 'any')}-{code_digest(*CODE)[:12]}"


def _key(workload: str, load: str, way: Mapping[str, Any]) -> dict[str, Any]:
    """What pairs have to share to count together: those of a quick run are none of a full one's."""
    return {"workload": workload, "load": load, "place": place(), "asked": dict(way)}


def _whole(text: str) -> Iterator[dict[str, Any]]:
    """Lines that were written to their end."""
    for line in text.splitlines():
        with suppress(json.JSONDecodeError):
            yield json.loads(line)


def _answer(one: dict[str, Any]) -> Answer:
    return Answer(**{**one, "state": State(one["state"])})

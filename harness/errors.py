"""Everything this package raises on purpose.

WeighinError
├── SpecError            a spec that cannot be read, or that means nothing; carries located problems
├── UnknownName          a name that no registry holds, with the closest ones
├── Unmeasurable         a measurement that is absent or meaningless: the verdict INVALID, never a number
│   ├── MissingExtra     an optional dependency that is not installed, with the extra that brings it
│   ├── SourceError      a model that cannot be built or loaded
│   ├── DataError        a dataset that is absent, empty, or overlaps itself
│   ├── MethodError      a compression step that could not be taken
│   │   └── Unforeseen   one that failed in a way that it does not explain; the cause has the traceback
│   └── ArtifactError    an artifact that cannot be saved, reloaded, or does not match what was saved
├── NotHere              an unmet `requires`: the verdict NOT RUN
├── BaselineError        a baseline file that cannot be read; the file is left as it is
└── TableError           a file that is no table of outcomes, with its line
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class WeighinError(Exception):
    """The root: catch this to catch every error that weighin raises on purpose."""


def closest(name: str, allowed: Iterable[str]) -> str | None:
    """The allowed name most like `name`, or None where none comes near."""
    matches = difflib.get_close_matches(name.lower(), {one.lower(): one for one in allowed}, n=1, cutoff=0.5)
    return next((one for one in allowed if matches and one.lower() == matches[0]), None)


def known_as(meant: Sequence[str]) -> str:
    """The sentence that tells how something with other names is written here."""
    return f"Here that goes by {', '.join(meant)}"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a spec, and where.

    Attributes:
        file: path as shown to the user.
        line: 1-based.
        column: 1-based.
        path: dotted key path, for example ``compress[0].observer``; empty for the whole document.
        message: what is wrong, what was found, what is allowed and the closest name, as one sentence or two.
    """

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{self.file}:{self.line}:{self.column}: {where}{self.message}"


class SpecError(WeighinError):
    """A spec that cannot be read or means nothing; `problems` lists every fault found, in file order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda one: (one.file, one.line, one.column)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UnknownName(WeighinError):
    """A name that no registry holds; `meant` is how what others call so is written here."""

    def __init__(self, kind: str, name: str, allowed: Iterable[str], meant: Sequence[str] = ()) -> None:
        self.kind, self.name, self.allowed = kind, name, sorted(allowed)
        near = closest(name, self.allowed)
        hint = f" {known_as(meant)}." if meant else f" Did you mean {near!r}?" if near else ""
        super().__init__(f"unknown {kind} {name!r}; allowed: {', '.join(self.allowed)}.{hint}")


class Unmeasurable(WeighinError):
    """A measurement is absent or meaningless. Becomes the verdict INVALID with this sentence."""


class MissingExtra(Unmeasurable):
    """An optional dependency is not installed."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"needs the package {module!r}, which is not installed: pip install 'weighin[{extra}]'")


class SourceError(Unmeasurable):
    """A model could not be built or loaded."""


class DataError(Unmeasurable):
    """A dataset is absent, empty, malformed, or its splits overlap."""


class MethodError(Unmeasurable):
    """A compression step could not be taken."""


class Unforeseen(MethodError):
    """A step or a conversion raised what it does not explain. Raised `from` that, whose traceback the log keeps."""


class ArtifactError(Unmeasurable):
    """An artifact could not be saved or reloaded, or is not what was saved."""


class NotHere(WeighinError):
    """This machine lacks what the spec requires. Becomes the verdict NOT RUN."""


class BaselineError(WeighinError):
    """A baseline file cannot be read. It is named and left untouched."""


class TableError(WeighinError):
    """A file is no table of outcomes. It is named, with the line."""

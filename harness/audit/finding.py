"""One thing that got looser, or of which that cannot be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from harness.spec.reader import Value, shorten


@dataclass(frozen=True)
class Loosened:
    """One thing that got looser.

    Attributes:
        spec: its id now; the one it had where it is gone.
        what: the key that loosened (``max_ratio``, ``tier``), or what is gone; baselines say so first.
        old, new: the two values; None where there was, or is, nothing.
        case, label: empty where the whole spec, or the whole case, is meant.
        reason: as it is recorded since the revision; None where none is.
    """

    spec: str
    what: str
    old: Value
    new: Value
    case: str = ""
    label: str = ""
    reason: str | None = None

    def of(self, spec: str, case: str) -> Loosened:
        """The same, said of a spec and a case."""
        return replace(self, spec=spec, case=case)

    def __str__(self) -> str:
        item = f"{self.spec}{f'::{self.label}' if self.label else ''}{f'[{self.case}]' if self.case else ''}"
        return f"{item}: {self.what} {_shown(self.old)} → {_shown(self.new)}"

    def document(self) -> dict[str, Value]:
        """As JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Unread:
    """What lay in the project and cannot be read from the commit, so that nothing is compared with it.

    Attributes:
        path: of a link, a submodule or a stem, from the project root.
        what: it is, as the rest of a sentence.
        reason: why that may be, as it is recorded since the revision; None where none is.
    """

    path: str
    what: str
    reason: str | None = None

    def __str__(self) -> str:
        return f"{self.path} {self.what}: nothing is compared with it"


def _shown(value: Value) -> str:
    return "none" if value is None else value if isinstance(value, str) else shorten(value)


def short(value: Value | Mapping[str, Value]) -> Value:
    """A mapping as one line of text; anything else as it is."""
    if not isinstance(value, Mapping):
        return value
    return ", ".join(f"{key} {one if isinstance(one, str) else shorten(one)}" for key, one in value.items())

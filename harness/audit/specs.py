"""The cases of a spec on one side of the comparison: stems resolved there, cases merged, nothing validated."""

from __future__ import annotations

import posixpath
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import PurePosixPath

from harness.audit.worktree import Side
from harness.errors import SpecError
from harness.spec.files import collected
from harness.spec.load import merge
from harness.spec.reader import Value, parse

Body = dict[str, Value]


@dataclass(frozen=True)
class Found:
    """A spec as a run finds it; both paths are relative to the project root.

    Attributes:
        path: by which it is collected.
        home: with no link in it. Stems are relative to this one, and it gives the spec its id.
    """

    path: str
    home: str


@dataclass
class Specs:
    """Reads the specs of one side; each stem once."""

    side: Side
    _bodies: dict[str, Body | None] = field(default_factory=dict)

    def found(self) -> dict[str, Found]:
        """Id → file of every spec that gates: neither a stem nor there to fail. Of two with one id, the first."""
        found: dict[str, Found] = {}
        for path in collected(self.side.files()):
            home = self.side.home(path)
            found.setdefault(spec_id(home), Found(path, home))
        return found

    def chain(self, path: str) -> tuple[bytes | None, ...]:
        """The contents of a spec and of every stem that it extends, nearest first."""
        return tuple(self.side.read(at) for at in self.layers(path))

    def cases(self, path: str, without: Collection[str] = ()) -> dict[str, Body]:
        """Each case as it is after stems and cases are merged; a file without cases is one of no name.

        Nothing where the file, or one that it extends, is no YAML that a spec is written in.

        Args:
            path: of the spec.
            without: stems that are left out, with all that they extend.
        """
        merged = self.file(path, without)
        named = merged.pop("cases", None)
        if not isinstance(named, dict):
            return {"": merged} if merged else {}
        return {name: merge(merged, changes if isinstance(changes, dict) else {}) for name, changes in named.items()}

    def file(self, path: str, without: Collection[str] = ()) -> Body:
        """What all cases of a file share, with its `cases`; empty where it cannot be read. See `cases`."""
        merged: Body = {}
        for at in reversed([*takewhile(lambda at: at not in without, self.layers(path))]):
            body = self._body(at)
            if body is None:
                return {}
            merged = merge(merged, {key: value for key, value in body.items() if key != "extends"})
        return merged

    def layers(self, path: str) -> list[str]:
        """A spec and every stem that it extends, nearest first."""
        chain = [path]
        while isinstance(stem := (self._body(chain[-1]) or {}).get("extends"), str):
            at = self.side.home(posixpath.join(posixpath.dirname(chain[-1]), stem))
            if at in chain:
                break
            chain.append(at)
        return chain

    def _body(self, path: str) -> Body | None:
        if path not in self._bodies:
            content = self.side.read(path)
            try:
                self._bodies[path] = None if content is None else parse(content.decode(), path).value
            except (SpecError, UnicodeDecodeError):
                self._bodies[path] = None
        return self._bodies[path]


def spec_id(home: str) -> str:
    """The id of a spec, by its path with no link in it; see `spec.files.id_of`."""
    path = PurePosixPath(home)
    below = path.relative_to("specs") if path.is_relative_to("specs") else PurePosixPath(path.name)
    return below.with_suffix("").as_posix()

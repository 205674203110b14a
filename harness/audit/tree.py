"""A tree of git as a walk that follows links finds it. Pure: paths and texts, from the repository's root."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# Links that are followed for one path, as many as Linux follows.
MOST = 40


@dataclass(frozen=True)
class Tree:
    """What a commit holds.

    Attributes:
        files: path → git's name for the content.
        links: path → what the link says, relative to its folder unless it starts with a slash.
    """

    files: Mapping[str, str]
    links: Mapping[str, str]

    def home(self, path: str) -> str | None:
        """A path with every link in it followed.

        Returns:
            The path, whether or not something is there; None where a link leaves the repository or leads in a circle.
        """
        done: list[str] = []
        ahead = path.split("/")[::-1]
        followed = 0
        while ahead:
            part = ahead.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not done:
                    return None
                done.pop()
            elif (link := self.links.get("/".join([*done, part]))) is None:
                done.append(part)
            elif link.startswith("/") or followed == MOST:
                return None
            else:
                followed += 1
                ahead += link.split("/")[::-1]
        return "/".join(done)

    def below(self, folder: str) -> Iterator[tuple[str, str | None]]:
        """Every file below a folder, whichever links lead there.

        Yields:
            The path by which a file is found, and the one with no link in it; None in its place for a link that leads
            to nothing in this tree.
        """
        ahead: list[tuple[str, str, tuple[str, ...]]] = [(folder, folder, ())]
        while ahead:
            shown, at, through = ahead.pop()
            home = self.home(at)
            if home in self.files:
                yield shown, home
                continue
            if home is not None and any(_holds(home, one) for one in (*through, posixpath.dirname(at))):
                # Back to a folder that the walk has come through.
                continue
            inside = [] if home is None else [one for one in (*self.files, *self.links) if one.startswith(f"{home}/")]
            if not inside and at in self.links:
                yield shown, None
            for path in inside:
                assert home is not None
                name = f"{shown}{path[len(home) :]}"
                if path in self.links:
                    ahead.append((name, path, (*through, home)))
                else:
                    yield name, path


def _holds(folder: str, path: str) -> bool:
    return not folder or path == folder or path.startswith(f"{folder}/")

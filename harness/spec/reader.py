"""YAML text → plain values, with every trap of YAML 1.1 refused and every position known.

PyYAML keeps the last of two equal keys, reads ``1e-3`` as text, ``on`` as true and ``010`` as eight, builds Python
objects from tags, and lets ten short lines of aliases expand without end. None of that belongs in a release gate.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from harness.errors import Problem, SpecError

# The C parser where PyYAML was built with it: ten times quicker, same nodes.
_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MAX_NODES = 10_000
MAX_DEPTH = 100

_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|nan)", re.IGNORECASE)

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]
Location = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """One YAML file: its values, and the nodes that know where each stands."""

    shown: str
    value: dict[str, Value]
    node: yaml.MappingNode

    def find(self, location: Location) -> yaml.Node | None:
        """The node at a key path, or None where this document has nothing there."""
        node: yaml.Node = self.node
        for step in location:
            found: yaml.Node | None = None
            if isinstance(node, yaml.MappingNode):
                found = next((value for key, value in node.value if key.value == str(step)), None)
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                found = node.value[step]
            if found is None:
                return None
            node = found
        return node

    def find_key(self, location: Location) -> yaml.Node | None:
        """The node of the key itself (its value's node says where the value starts)."""
        parent = self.find(location[:-1])
        if not isinstance(parent, yaml.MappingNode):
            return self.find(location)
        return next((key for key, _ in parent.value if key.value == str(location[-1])), None)


def read(path: Path, shown: str) -> Document:
    """Read one file.

    Args:
        path: the file.
        shown: its name in messages.

    Raises:
        SpecError: the file cannot be read or is not the YAML that a spec is written in; lists every fault.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SpecError([Problem(shown, 1, 1, "", f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise SpecError([Problem(shown, 1, 1, "", f"is not UTF-8 text (byte {error.start})")]) from error
    return parse(text, shown)


def parse(text: str, shown: str) -> Document:
    """Read one document from text; see `read`."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        message = f"is not YAML: {error.problem or error.context}"
        raise SpecError([Problem(shown, line, column, "", message)]) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SpecError([Problem(shown, 1, 1, "", f"is not YAML: {error}")]) from error
    finally:
        loader.dispose()
    if node is None:
        raise SpecError([Problem(shown, 1, 1, "", "is empty; a spec starts with `version: 1`")])
    if not isinstance(node, yaml.MappingNode):
        raise SpecError([Problem(shown, 1, 1, "", "is not a mapping of keys to values, as a spec is")])
    constructor = _Constructor(shown)
    value = constructor.mapping(node, ())
    if constructor.problems:
        raise SpecError(constructor.problems)
    return Document(shown, value, node)


def dotted(location: Sequence[str | int]) -> str:
    """A key path as messages show it: ``compress[0].observer``."""
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def shorten(value: object, limit: int = 60) -> str:
    """A value as messages show it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


class _TooLarge(Exception):
    """Stops the walk: the document expands past its limits."""


class _Constructor:
    """Walks nodes once: builds values, collects every fault."""

    def __init__(self, shown: str) -> None:
        self.shown = shown
        self.problems: list[Problem] = []
        self._nodes = 0

    def mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, Value]:
        try:
            value = self._value(node, location)
        except _TooLarge as error:
            self._fault(node, location, str(error))
            return {}
        assert isinstance(value, dict)
        return value

    def _fault(self, node: yaml.Node, location: Location, message: str) -> None:
        mark = node.start_mark
        self.problems.append(Problem(self.shown, mark.line + 1, mark.column + 1, dotted(location), message))

    def _value(self, node: yaml.Node, location: Location) -> Value:
        # An alias is the same node met again, so expansion is what this counts.
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _TooLarge(f"the document expands to more than {MAX_NODES:,} values; use fewer aliases (`*name`)")
        if len(location) > MAX_DEPTH:
            raise _TooLarge(f"values are nested deeper than {MAX_DEPTH} levels, or an alias contains itself")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, location)
        if isinstance(node, yaml.SequenceNode):
            self._plain_tag(node, location, "seq")
            return [self._value(item, (*location, index)) for index, item in enumerate(node.value)]
        self._plain_tag(node, location, "map")
        result: dict[str, Value] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, location)
            if key is None:
                continue
            if key in lines:
                self._fault(key_node, (*location, key), f"the key {key!r} stands here a second time, first in line {lines[key]}")
            lines.setdefault(key, key_node.start_mark.line + 1)
            result[key] = self._value(value_node, (*location, key))
        return result

    def _key(self, node: yaml.Node, location: Location) -> str | None:
        if node.tag == f"{_TAG}merge":
            self._fault(node, location, "merge keys (`<<`) are not part of the spec language; share a stem with `extends:`")
        elif not isinstance(node, yaml.ScalarNode):
            self._fault(node, location, "a key is a word, not a list or a mapping")
        elif node.tag != f"{_TAG}str":
            self._fault(node, location, f"the key {node.value!r} is not text to YAML; quote it")
        else:
            return str(node.value)
        return None

    def _plain_tag(self, node: yaml.Node, location: Location, kind: str) -> None:
        if node.tag != _TAG + kind:
            self._fault(node, location, f"tags such as {node.tag!r} are not part of the spec language")

    def _scalar(self, node: yaml.ScalarNode, location: Location) -> Value:
        text: str = node.value
        kind = node.tag.removeprefix(_TAG)
        if kind == "str":
            if node.style is None and _FLOAT.fullmatch(text):
                number = float(text)
                written = f"{number:f}".rstrip("0") if 1e-6 <= abs(number) < 1e6 else f"{number:.1e}"
                self._fault(node, location, f"{text} is text to YAML 1.1, not a number; write {written}")
            return text
        if kind == "null":
            return None
        if kind == "timestamp":
            return text
        if kind == "bool":
            if text.lower() not in ("true", "false"):
                self._fault(
                    node, location, f"{text!r} is a truth value to YAML 1.1; write true or false, or quote it to mean the word"
                )
            return text.lower() == "true"
        if kind == "int":
            if not _INTEGER.fullmatch(text):
                self._fault(node, location, f"{text!r} would be read as {_guess(text)}; write the number in plain decimals")
                return 0
            return int(text)
        if kind == "float":
            if _NOT_FINITE.fullmatch(text):
                self._fault(node, location, f"{text} is no bound and no option: numbers are finite")
                return 0.0
            if not _FLOAT.fullmatch(text):
                self._fault(node, location, f"{text!r} would be read as {_guess(text)}; write the number in plain decimals")
                return 0.0
            return float(text)
        self._fault(node, location, f"tags such as {node.tag!r} are not part of the spec language")
        return None


def _guess(text: str) -> str:
    """What PyYAML makes of a number that is written in an unusual way."""
    try:
        return repr(yaml.safe_load(text))
    except (yaml.YAMLError, ValueError):
        return "something else"

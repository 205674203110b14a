"""YAML text → plain values, with every trap of YAML 1.1 refused and every position known.

PyYAML keeps the last of two equal keys, reads ``1e-3`` as text, ``on`` as true and ``010`` as eight, builds Python
objects from tags, and lets ten short lines of aliases expand without end. None of that belongs in a release gate.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import yaml
from yaml.reader import ReaderError

from harness.errors import Problem, SpecError

# The C parser where PyYAML was built with it: ten times quicker, same nodes.
_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MAX_NODES = 10_000
MAX_DEPTH = 100
MAX_CHARACTERS = 1_000_000
MAX_KEY = 200

_TAG = "tag:yaml.org,2002:"
# Plain decimals; more digits than these are no option of anything.
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_TAGGED = "the tag {!r} is not part of the spec language"
_NOT_FINITE = re.compile(r"[-+]?\.(inf|nan)", re.IGNORECASE)

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]
# A key path: keys of mappings, indices of lists.
Location = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """One YAML file: its values, and the nodes that know where each stands."""

    shown: str
    value: dict[str, Value]
    node: yaml.MappingNode


def read(path: Path, shown: str) -> Document:
    """Read one file.

    Args:
        path: the file.
        shown: its name in messages.

    Raises:
        SpecError: the file cannot be read or is not the YAML that a spec is written in; lists every fault.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise SpecError([Problem(shown, 1, 1, "", f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode()
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        message = f"is not UTF-8 text (byte {error.object[error.start]:#04x})"
        raise SpecError([Problem(shown, line, column, "", message)]) from error
    return parse(text, shown)


def parse(text: str, shown: str) -> Document:
    """Read one document from text; see `read`."""
    node = _compose(text, shown)
    if node is None:
        raise SpecError([Problem(shown, 1, 1, "", "is empty; a spec starts with `version: 1`")])
    if not isinstance(node, yaml.MappingNode):
        mark = node.start_mark
        message = "is not a mapping of keys to values, as a spec is; it starts with `version: 1`"
        raise SpecError([Problem(shown, mark.line + 1, mark.column + 1, "", message)])
    constructor = _Constructor(shown)
    value = constructor.mapping(node)
    if constructor.problems:
        raise SpecError(constructor.problems)
    return Document(shown, value, node)


def _compose(text: str, shown: str) -> yaml.Node | None:
    # The C parser's composer recurses on the C stack, which a hundred thousand brackets would overrun.
    openers = sum(text.count(opener) for opener in ("[", "{", "- ", "? "))
    if openers > MAX_NODES or len(text) > MAX_CHARACTERS:
        message = f"is larger than a spec can be ({MAX_CHARACTERS:,} characters, {MAX_NODES:,} values)"
        raise SpecError([Problem(shown, 1, 1, "", message)])
    try:
        loader = _Loader(text)
        try:
            node: yaml.Node | None = loader.get_single_node()
            return node
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise SpecError([Problem(shown, line, column, "", f"is not YAML: {_syntax(error, text)}")]) from error
    except ReaderError as error:
        # The C parser counts bytes, and the characters that it refuses are rare enough to look for.
        bad = chr(int(error.character))
        before = text[: max(0, text.find(bad))]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        message = f"is not YAML: the character U+{ord(bad):04X} is not allowed in it"
        raise SpecError([Problem(shown, line, column, "", message)]) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SpecError([Problem(shown, 1, 1, "", f"is not YAML: {error}")]) from error


def _syntax(error: yaml.MarkedYAMLError, text: str) -> str:
    """What the parser says, with what it was about."""
    problem, mark = str(error.problem or error.context), error.problem_mark
    if problem == "but found another document":
        return "holds two documents (`---`), and a spec is one"
    if mark is not None and "\t" in "".join(text.splitlines()[mark.line : mark.line + 1])[: mark.column + 1]:
        return f"{problem} (there is a tab; YAML is indented with spaces)"
    if error.problem and error.context and error.context_mark is not None:
        return f"{problem}, {error.context} that starts in line {error.context_mark.line + 1}"
    return problem


def dotted(location: Sequence[str | int]) -> str:
    """A key path as messages show it: ``compress[0].observer``."""
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def shorten(value: object, limit: int = 60) -> str:
    """A value as YAML would write it on one line, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


class _TooLarge(Exception):
    """Stops the walk: the document expands past its limits, at the key path given."""

    def __init__(self, message: str, path: Sequence[str | int]) -> None:
        super().__init__(message)
        self.path = tuple(path)


class _Constructor:
    """Walks nodes once: builds values, collects every fault."""

    def __init__(self, shown: str) -> None:
        self.shown = shown
        self.problems: list[Problem] = []
        self._nodes = 0
        # The key path of the node at hand; a list that grows and shrinks costs less than a tuple a node.
        self._path: list[str | int] = []

    def mapping(self, node: yaml.MappingNode) -> dict[str, Value]:
        try:
            return self._mapping(node)
        except _TooLarge as error:
            top = error.path[0] if error.path else ""
            at = next((key for key, _ in node.value if key.value == top), node)
            self._path = [top] if top else []
            self._fault(at, str(error))
            return {}

    def _fault(self, node: yaml.Node, message: str) -> None:
        mark = node.start_mark
        self.problems.append(Problem(self.shown, mark.line + 1, mark.column + 1, dotted(self._path), message))

    def _value(self, node: yaml.Node) -> Value:
        # An alias is the same node met again, so expansion is what this counts.
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _TooLarge(
                f"the document expands to more than {MAX_NODES:,} values; use fewer aliases (`*name`)", self._path
            )
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if len(self._path) > MAX_DEPTH:
            raise _TooLarge(f"is nested deeper than {MAX_DEPTH} levels, or an alias contains itself", self._path)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node)
        if node.tag != f"{_TAG}seq":
            self._fault(node, _TAGGED.format(_tag(node)))
        items: list[Value] = []
        for index, item in enumerate(node.value):
            self._path.append(index)
            items.append(self._value(item))
            self._path.pop()
        return items

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Value]:
        if node.tag != f"{_TAG}map":
            self._fault(node, _TAGGED.format(_tag(node)))
        result: dict[str, Value] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key is None:
                continue
            self._path.append(key)
            if key in result:
                first, before = next(pair for pair in node.value if pair[0].value == key)
                self._fault(
                    key_node,
                    f"the key {key!r} stands here a second time{_in_brackets(value_node)}, first in line "
                    f"{first.start_mark.line + 1}{_in_brackets(before)}",
                )
            result[key] = self._value(value_node)
            self._path.pop()
        return result

    def _key(self, node: yaml.Node) -> str | None:
        if node.tag == f"{_TAG}str" and isinstance(node, yaml.ScalarNode):
            if len(node.value) <= MAX_KEY:
                return str(node.value)
            message = f"a key is a word, not {len(node.value):,} characters"
        elif node.tag == f"{_TAG}merge":
            message = "merge keys (`<<`) are not part of the spec language; share a stem with `extends:`"
        elif isinstance(node, yaml.ScalarNode):
            message = f'the key {node.value!r} is not text to YAML 1.1; quote it: "{node.value}"'
        else:
            message = "a key is a word, not a list or a mapping"
        named = isinstance(node, yaml.ScalarNode) and len(node.value) <= MAX_KEY
        if named:
            self._path.append(node.value)
        self._fault(node, message)
        if named:
            self._path.pop()
        return None

    def _scalar(self, node: yaml.ScalarNode) -> Value:
        text: str = node.value
        kind = node.tag.removeprefix(_TAG)
        # The common ones first: most of a document is plain words and numbers.
        if kind == "str":
            if not node.style and _FLOAT.fullmatch(text):
                self._fault(node, f"{text} is text to YAML 1.1, not a number; write {_plainly(text)}")
            return text
        if kind == "int":
            if _INTEGER.fullmatch(text):
                return int(text)
            self._fault(node, _unusual(text))
            return 0
        if kind == "float":
            if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
                return number
            if _FLOAT.fullmatch(text) or _NOT_FINITE.fullmatch(text):
                self._fault(node, f"{text} is not finite, and no bound and no option can be that")
            else:
                self._fault(node, _unusual(text))
            return 0.0
        if kind == "bool":
            if text.lower() not in ("true", "false"):
                self._fault(
                    node, f"{text!r} is a truth value to YAML 1.1; write true or false, or quote it to mean the word"
                )
            return text.lower() == "true"
        if kind == "timestamp":
            return text
        if kind != "null":
            self._fault(node, _TAGGED.format(_tag(node)))
        return None


def _in_brackets(node: yaml.Node) -> str:
    """A value as it is written; nothing of a list or a mapping, which would be too long to tell."""
    return f" ({shorten(node.value)[1:-1]})" if isinstance(node, yaml.ScalarNode) else ""


def _tag(node: yaml.Node) -> str:
    return str(node.tag).replace(_TAG, "!!")


def _plainly(text: str) -> str:
    """A number that YAML 1.1 takes for text, as YAML takes it for a number."""
    digits = f"{Decimal(text):f}" if abs(Decimal(text).adjusted()) < 20 else ""
    if digits:
        return digits
    mantissa, _, exponent = f"{Decimal(text):e}".partition("e")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{exponent}"


def _unusual(text: str) -> str:
    """A number that YAML 1.1 would read as another one: octal, sexagesimal, with underscores."""
    if re.fullmatch(r"[-+]?[1-9][0-9]*", text):
        return f"{shorten(text)} has more digits than any option takes"
    try:
        guess = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        guess = text
    if isinstance(guess, (int, float)):
        return f"{text} would be read as {guess!r} by YAML 1.1; write the number in plain decimals"
    return f"{shorten(text)} is no number"

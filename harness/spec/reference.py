"""The generated part of `docs/spec-language.md`: every part that a spec may name, with its options."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from harness.data.base import DATA
from harness.methods.base import METHODS, Method
from harness.metrics.base import BOUNDS, METRICS, Better
from harness.registry import Registry
from harness.runtimes.base import RUNTIMES
from harness.sources.base import SOURCES
from harness.spec.bounds import harmful, senseless
from harness.spec.json_schema import editor_schema
from harness.spec.requirements import CAPABILITIES
from harness.spec.schema import FILE_KEYS, Spec
from harness.spec.semantics import own_metrics, suited_by
from harness.spec.tiers import TIERS
from harness.tasks.base import TASKS

BEGIN = "<!-- Written by `python -m harness docs` from here -->"
END = "<!-- to here -->"

_LIMITS = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
_KINDS = {"string": "text", "boolean": "true or false", "integer": "whole number", "object": "mapping", "array": "list"}
_TIER_MEANING = {"ci": "on every change", "nightly": "once a night", "release": "before a release"}
Node = Mapping[str, Any]


def updated(page: str) -> str:
    """A page with the text between its markers written anew.

    Raises:
        ValueError: the page lacks a marker.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks its markers, {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


def reference() -> str:
    """All tables, as Markdown."""
    defs = editor_schema()["$defs"]
    nested = sorted(
        {name for node in defs.values() for name in _nested(node) if name in defs} - {"Measure", "ExpectFail"}
    )
    sections = [
        "## Keys of a file",
        _keys(),
        "## Methods (`compress:`)",
        " · ".join(f"[`{name}`](#{name})" for name in METHODS.offered()),
        *(_part(METHODS, name, defs, _roads(METHODS[name])) for name in METHODS.offered()),
        "## Metrics (`budgets:`)",
        _metrics(),
        *(
            _options(f"metrics.{name}", defs, f"### `{name}`: further options", (*BOUNDS, "regress", "because"))
            for name in METRICS.offered()
        ),
        "## Bounds",
        _bounds(defs),
        "## Models (`model:`)",
        *(_part(SOURCES, name, defs) for name in SOURCES.offered()),
        "## Data (`data:`)",
        *(_part(DATA, name, defs, f"For {', '.join(sorted(DATA[name].tasks))}.") for name in DATA.offered()),
        "## Runtimes (`deploy:`)",
        *(
            _part(RUNTIMES, name, defs, f"Saves: {', '.join(sorted(RUNTIMES[name].saves))}.")
            for name in RUNTIMES.offered()
        ),
        "## Tasks (`task:`)",
        _tasks(),
        "## How to measure (`measure:`)",
        _rows(defs["Measure"], ()),
        "## Expected failures (`expect_fail:`)",
        _rows(defs["ExpectFail"], ()),
        *(f"## `{name}`: nested options\n\n{defs[name]['description']}\n\n{_rows(defs[name], ())}" for name in nested),
        "## Tiers and requirements",
        _table(("`tier:`", "runs"), ((f"`{tier}`", _TIER_MEANING[tier]) for tier in TIERS)),
        f"`requires:` takes {', '.join(f'`{name}`' for name in CAPABILITIES)}.",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _keys() -> str:
    """Every key that a file may have at its top; one that is required may come from the stem."""
    fields = Spec.model_fields.items()
    rows = [(f"`{name}`", "yes" if field.is_required() else "no", field.description or "") for name, field in fields]
    rows += [(f"`{name}`", "no", meaning) for name, meaning in FILE_KEYS.items()]
    return _table(("key", "required", "meaning"), rows)


def _part(registry: Registry[Any], name: str, defs: Node, note: str = "") -> str:
    """A heading, what the part's docstring says, and its options."""
    text = inspect.cleandoc(registry[name].__doc__ or "")
    also = vars(registry[name]).get("also", {})
    note += f"{' ' if note else ''}Elsewhere called {', '.join(also)}." if also else ""
    return "\n\n".join(
        filter(None, (f"### `{name}`", text, note, _options(f"{registry.family}.{name}", defs, "", (registry.key,))))
    )


def _roads(method: type[Method]) -> str:
    if method.transitions is not Method.transitions:
        return "Takes and gives what its options say."
    forms = "; ".join(f"{taken} → {given}" for taken, given in method.forms.items())
    return f"Takes → gives: {forms}.{' Uses calibration data.' if method.needs_data else ''}"


def _metrics() -> str:
    rows = []
    for name in METRICS.offered():
        metric = METRICS[name]
        kept = [
            "compared with the float model: `min` and `max` bound its interval" if metric.relative else "",
            "absolute bounds hold only on a machine whose baseline was accepted" if metric.machine else "",
            "needs data" if metric.needs_data else "",
            f"for {', '.join(suited)}" if len(suited := suited_by(metric)) < len(TASKS.items()) else "",
        ]
        rows.append(
            (
                f"`{name}`",
                metric.unit,
                metric.better,
                _first(metric.__doc__),
                f"{metric.tolerance:g}",
                "; ".join(filter(None, kept)),
            )
        )
    return _table(("metric", "unit", "better", "what it is", "`regress` by default", "notes"), rows)


def _tasks() -> str:
    rows = (
        (f"`{name}`", _first(part.__doc__), ", ".join(f"`{metric}`" for metric in own_metrics(name)))
        for name, part in TASKS.items()
    )
    return _table(("task", "what it is", "metrics of its own"), rows)


def _bounds(defs: Node) -> str:
    rows = []
    for name in (*BOUNDS, "regress"):
        held = [better for better in get_args(Better) if name not in senseless(better)]
        enough = [better for better in held if name in harmful(better)]
        node = defs[f"bounds.{name}"]
        where = "any metric" if len(held) == 2 else f"metrics where {held[0]} is better"
        needs = f"where {enough[0]} is better" if enough else "no"
        rows.append((f"`{name}`", _type(node), node["description"], where, needs))
    return _table(("bound", "type", "what it holds", "for", "is enough alone"), rows)


def _options(name: str, defs: Node, heading: str, skipped: Iterable[str]) -> str:
    rows = _rows(defs[name], (*skipped, "metric"))
    return f"{heading}\n\n{rows}".strip() if rows else ""


def _rows(node: Node, skipped: Iterable[str]) -> str:
    required = node.get("required", [])
    rows = [
        (
            f"`{option}`",
            _type(one),
            "required" if option in required else _default(one),
            one.get("description", ""),
        )
        for option, one in node["properties"].items()
        if option not in skipped
    ]
    return _table(("option", "type", "default", "meaning"), rows) if rows else ""


def _type(node: Node) -> str:
    """What an option may hold, in words."""
    if "$ref" in node:
        return f"mapping, see `{node['$ref'].rpartition('/')[2]}`"
    for key in ("anyOf", "oneOf"):
        if key in node:
            members = dict.fromkeys(_type(one) for one in node[key] if one != {"type": "null"})
            if "number" in members:
                members.pop("whole number", None)
            return " or ".join(members)
    if "const" in node or "enum" in node:
        return ", ".join(f"`{_plain(one)}`" for one in node.get("enum", [node.get("const")]) if one is not None)
    if node.get("format") == "date":
        return "day"
    typed = node.get("type", [])
    kinds = [one for one in (typed if isinstance(typed, list) else [typed]) if one != "null"]
    text = " or ".join(_KINDS.get(kind, kind) for kind in kinds) or "anything"
    if "items" in node:
        text += f" of {_type(node['items'])}"
    if "prefixItems" in node:
        text += f" of {len(node['prefixItems'])}: {_type(node['prefixItems'][0])}"
    if isinstance(node.get("additionalProperties"), dict):
        text += f" to {_type(node['additionalProperties'])}"
    limits = [f"{sign} {node[limit]:g}" for limit, sign in _LIMITS.items() if limit in node]
    return " ".join((text, ", ".join(limits))).strip()


def _default(node: Node) -> str:
    default = node.get("default")
    return "" if default in (None, "", [], {}) else f"`{_plain(default)}`"


def _plain(value: object) -> str:
    """A value as YAML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_plain(one)}' for key, one in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_plain, value))}]"
    return "null" if value is None else str(value)


def _nested(node: object) -> Iterable[str]:
    """Names of models that an option holds whole, and that are no part of a family."""
    if isinstance(node, Mapping):
        if "$ref" in node and "." not in node["$ref"].rpartition("/")[2]:
            yield node["$ref"].rpartition("/")[2]
        for inner in node.values():
            yield from _nested(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _nested(inner)


def _first(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)

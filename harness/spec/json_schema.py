"""The JSON Schema (draft 2020-12) that editors complete and check specs with.

It is made from the same models that load a spec, and never refuses what loading accepts. A file that `extends` another
or has `cases` is checked key by key but may leave anything out, and may set a key to null to take it away.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.data.base import DATA
from harness.methods.base import METHODS
from harness.metrics.base import BOUNDS, METRICS, Metric
from harness.registry import Registry
from harness.runtimes.base import RUNTIMES
from harness.sources.base import SOURCES
from harness.spec.bounds import harmful, senseless
from harness.spec.schema import FILE_KEYS, LABEL, Spec
from harness.spec.semantics import RESERVED

PATH = Path(__file__).with_name("spec.schema.json")
DRAFT = "https://json-schema.org/draft/2020-12/schema"

Node = dict[str, Any]
_FAMILIES: tuple[Registry[Any], ...] = (SOURCES, DATA, METHODS, RUNTIMES, METRICS)
# Keywords whose values are schemas by name, lists of schemas, and schemas.
_NAMED, _LISTED, _SINGLE = ("properties", "patternProperties", "$defs"), ("anyOf", "oneOf", "prefixItems"), ("items",)
_NOTHING: Node = {"type": "null"}


def text() -> str:
    """The schema as its file holds it."""
    return json.dumps(editor_schema(), indent=1, ensure_ascii=False) + "\n"


def editor_schema() -> Node:
    """The schema of a spec file."""
    raw = Spec.model_json_schema()
    names = {part.__name__: f"{one.family}.{name}" for one in _FAMILIES for name, part in one.items()}
    raw = json.loads(re.sub(r'"#/\$defs/(\w+)"', lambda ref: f'"{_ref(names.get(ref[1], ref[1]))}"', json.dumps(raw)))
    defs: Node = {names.get(name, name): _tidy(node) for name, node in raw["$defs"].items()}
    for registry in _FAMILIES:
        for name, part in registry.items():
            defs[f"{registry.family}.{name}"] = _part(defs[f"{registry.family}.{name}"], registry, name, part)
    # A bound means the same for every metric: said once, and referred to.
    first = _tidy(Metric.model_json_schema())["properties"]
    defs |= {f"bounds.{name}": first[name] for name in (*BOUNDS, "regress", "because")}
    defs |= {f"budgets.{name}": _metric(name) for name in METRICS}
    body = _tidy(raw)["properties"]
    body["budgets"] = _budgets(body["budgets"])
    body["expect_fail"] = _one_or_several(body["expect_fail"])
    for name in ("model", "data", "compress", "deploy", "budgets"):
        defs[f"keys.{name}"], body[name] = body[name], {"$ref": _ref(f"keys.{name}")}
    partial = _Partial(defs)
    changes = partial.properties({name: node for name, node in body.items() if name != "version"})
    whole = {
        "type": "object",
        "additionalProperties": False,
        "required": [name for name in Spec.model_fields if Spec.model_fields[name].is_required()],
        "properties": body,
    }
    partial_spec = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "version": body["version"],
            "extends": {"type": "string", "description": FILE_KEYS["extends"]},
            "cases": {"$ref": _ref("keys.cases")},
            **changes,
        },
    }
    defs["keys.cases"] = {
        "type": ["object", "null"],
        "description": FILE_KEYS["cases"],
        "propertyNames": {"pattern": LABEL},
        "additionalProperties": {"type": ["object", "null"], "additionalProperties": False, "properties": changes},
    }
    return {
        "$schema": DRAFT,
        "$comment": "Written by `python -m harness schema`. In a spec: # yaml-language-server: $schema=PATH",
        "title": "weighin spec, version 1",
        "description": _first_line(Spec.__doc__),
        "if": {"anyOf": [{"required": ["extends"]}, {"required": ["cases"]}]},
        "then": {"$ref": _ref("partial.spec")},
        "else": {"$ref": _ref("spec")},
        "$defs": dict(sorted({**defs, **partial.defs, "spec": whole, "partial.spec": partial_spec}.items())),
    }


def _ref(name: str) -> str:
    return f"#/$defs/{name}"


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _tidy(node: Node) -> Node:
    """Without what pydantic adds for its own use; the first line of docstrings; null merged into simple types."""
    kept = {key: value for key, value in node.items() if key not in ("title", "discriminator")}
    for registry in _FAMILIES:
        if kept.get("oneOf", [{}])[0].get("$ref", "").startswith(_ref(f"{registry.family}.")):
            kept = _choice(kept, registry, registry.family)
    if kept.get("default", ...) is None:
        del kept["default"]
    if "description" in kept:
        kept["description"] = _first_line(kept["description"])
    for key in kept:
        if key in _NAMED:
            kept[key] = {name: _tidy(inner) for name, inner in kept[key].items()}
        elif key in _LISTED:
            kept[key] = [_tidy(inner) for inner in kept[key]]
        elif key in _SINGLE or (key == "additionalProperties" and isinstance(kept[key], dict)):
            kept[key] = _tidy(kept[key])
    members = kept.get("anyOf", [])
    if len(members) == 2 and members[1] == _NOTHING and isinstance(members[0].get("type"), str):
        del kept["anyOf"]
        kept = {**_nullable(members[0]), **kept}
    return kept


def _nullable(node: Node) -> Node:
    """The schema, or null."""
    if "const" in node:
        rest = {key: value for key, value in node.items() if key not in ("const", "type")}
        return {"enum": [node["const"], None], **rest}
    if "enum" in node:
        rest = {key: value for key, value in node.items() if key != "type"}
        return rest if None in node["enum"] else {**rest, "enum": [*node["enum"], None]}
    kind = node.get("type")
    if isinstance(kind, str):
        return {**node, "type": kind if kind == "null" else [kind, "null"]}
    if isinstance(kind, list) or _NOTHING in node.get("anyOf", []) or node.get("$ref", "").startswith(_ref("bounds.")):
        return node
    described = {"description": node["description"]} if "description" in node else {}
    return {"anyOf": [node, _NOTHING], **described}


def _choice(node: Node, registry: Registry[Any], family: str) -> Node:
    """A node that chooses among parts, the faults apart: an editor sees them only where one is named already."""
    faults = [
        name for name, part in registry.items() if part.fault and {"$ref": _ref(f"{family}.{name}")} in node["oneOf"]
    ]
    if not faults:
        return node
    apart = [{"$ref": _ref(f"{family}.{name}")} for name in faults]
    named = {"type": "string", "pattern": _pattern(faults)}
    return {
        **{key: value for key, value in node.items() if key != "oneOf"},
        "if": {"type": "object", "required": [registry.key], "properties": {registry.key: named}},
        "then": {"oneOf": apart},
        "else": {"oneOf": [one for one in node["oneOf"] if one not in apart]},
    }


def _pattern(names: Iterable[str]) -> str:
    """Of some names, which no editor can suggest from it."""
    return f"^({'|'.join(name.replace('.', '[.]') for name in names)})$"


def _part(node: Node, registry: Registry[Any], name: str, part: type[Any]) -> Node:
    properties = node["properties"]
    properties[registry.key] = {"const": name, "description": node.get("description", "")}
    node["required"] = [registry.key, *node.get("required", [])]
    if registry is METRICS:
        node["required"].remove("metric")
        for bound in senseless(part.better):
            del properties[bound]
        for bound in (*BOUNDS, "regress", "because"):
            if bound in properties:
                properties[bound] = {"$ref": _ref(f"bounds.{bound}")}
    return node


def _budgets(node: Node) -> Node:
    """A known metric's name as the label needs no `metric:`; any other label does."""
    known = {name: {"$ref": _ref(f"budgets.{name}")} for name in METRICS}
    other = {"required": ["metric"], "oneOf": list(known.values())}
    faults = {_pattern([name]): known.pop(name) for name, part in METRICS.items() if part.fault}
    return {
        "type": "object",
        "description": node["description"],
        "minProperties": 1,
        "propertyNames": {"pattern": LABEL, "not": {"enum": list(RESERVED)}},
        "properties": known,
        "patternProperties": faults,
        "additionalProperties": _choice(other, METRICS, "budgets"),
    }


def _one_or_several(node: Node) -> Node:
    """A list, or its only item without the brackets."""
    listed = {key: value for key, value in node.items() if key not in ("description", "default")}
    return {"anyOf": [node["items"], listed], "description": node["description"]}


def _metric(name: str) -> Node:
    """A whole budget: the metric's options, and a bound on the side on which a model gets worse."""
    bounded = [{"required": [bound]} for bound in harmful(METRICS[name].better)]
    return {"allOf": [{"$ref": _ref(f"metrics.{name}")}, {"anyOf": bounded}]}


class _Partial:
    """Schemas of which any part may be missing, because another file or case says it."""

    def __init__(self, defs: Node) -> None:
        self._whole = defs
        self.defs: Node = {}

    def properties(self, properties: Node) -> Node:
        return {name: _nullable(self._of(node)) for name, node in properties.items()}

    def _of(self, node: Node) -> Node:
        if "$ref" in node:
            return {**node, "$ref": self._named(node["$ref"].removeprefix(_ref("")))}
        if "allOf" in node:
            # A budget: its metric's options without the bound that it needs in the end.
            return self._of(node["allOf"][0])
        if "if" in node:
            rest = {key: value for key, value in node.items() if key != "required"}
            return {**rest, "then": self._of(node["then"]), "else": self._of(node["else"])}
        for key in ("oneOf", "anyOf"):
            if key in node:
                rest = {name: value for name, value in node.items() if name not in (key, "required")}
                return {**rest, "anyOf": [self._of(member) for member in node[key]]}
        if node.get("type") != "object":
            return node
        rest = {key: value for key, value in node.items() if key not in ("required", "minProperties")}
        for key in ("properties", "patternProperties"):
            if key in node:
                rest[key] = self.properties(node[key])
        # A key of another part may be taken away.
        inner = node.get("additionalProperties")
        rest["additionalProperties"] = _nullable(self._of(inner)) if isinstance(inner, dict) else _NOTHING
        return rest

    def _named(self, name: str) -> str:
        target = f"partial.{name}"
        if target not in self.defs:
            node = self._whole[name]
            if "allOf" in node:
                return str(self._of(node)["$ref"])
            if node.get("type") != "object" and not {"if", "oneOf", "anyOf"} & node.keys():
                return _ref(name)
            self.defs[target] = {}
            self.defs[target] = self._of(node)
        return _ref(target)

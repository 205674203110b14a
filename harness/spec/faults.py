"""A validation error → a sentence: what was found, what is allowed, and the closest name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, get_args

from pydantic_core import ErrorDetails

from harness.errors import closest
from harness.registry import OneOf, Options, Registry
from harness.spec.reader import Location, shorten
from harness.spec.schema import Spec


def located(details: ErrorDetails, value: object) -> Location:
    """The key path of an error, without the names of union members that pydantic puts between the keys."""
    path: list[str | int] = []
    at = value
    for step in details["loc"]:
        if isinstance(at, dict) and step in at:
            at = at[step]
        elif isinstance(at, (list, tuple)) and isinstance(step, int) and step < len(at):
            at = at[step]
        elif step != details["loc"][-1] or details["type"] not in ("missing", "union_tag_not_found"):
            continue
        else:
            at = None
        path.append(step)
    return tuple(path)


def sentence(details: ErrorDetails) -> str:
    """What is wrong, in the terms of the spec."""
    kind, found = details["type"], details["input"]
    context: dict[str, Any] = dict(details.get("ctx") or {})
    last = details["loc"][-1] if details["loc"] else ""
    if kind == "extra_forbidden":
        return f"unknown key {last!r}{_choices(str(last), _allowed(details['loc'][:-1]))}"
    if kind == "missing":
        return f"the key {last!r} is required"
    if kind == "union_tag_not_found":
        key = str(context["discriminator"]).strip("'")
        return f"{shorten(found)} names no {key}: {_choices('', _tags(details['loc'], key)).lstrip('; ')}"
    if kind == "union_tag_invalid":
        key, tag = str(context["discriminator"]).strip("'"), str(context["tag"])
        return f"unknown {key} {tag!r}{_choices(tag, _quoted(str(context['expected_tags'])))}"
    if kind == "literal_error":
        expected = _quoted(str(context["expected"]).replace(" or ", ", "))
        return f"found {shorten(found)}{_choices(str(found), expected)}"
    if kind == "string_pattern_mismatch" and "budgets" in details["loc"]:
        return f"the label {found!r} may hold letters, digits, `_`, `-` and `.`, and starts with a letter or digit"
    if kind == "value_error":
        return f"{details['msg'].removeprefix('Value error, ')} (found {shorten(found)})"
    return f"found {shorten(found)}; {details['msg'][0].lower()}{details['msg'][1:]}"


def _choices(name: str, allowed: Iterable[str]) -> str:
    names = sorted(allowed)
    if not names:
        return ""
    near = closest(name, names) if name else None
    return f"; allowed: {', '.join(names)}" + (f". Did you mean {near!r}?" if near else "")


def _quoted(text: str) -> list[str]:
    return [part.strip().strip("'") for part in text.split(",")]


def _allowed(location: Sequence[str | int]) -> list[str]:
    """The keys of the model at a location (as pydantic gives it, union members included)."""
    model = _model(location)
    return list(model.model_fields) if model is not None else []


def _tags(location: Sequence[str | int], key: str) -> list[str]:
    found = _part(Spec, location)
    return [name for name in found if name] if isinstance(found, Registry) else []


def _model(location: Sequence[str | int]) -> type[Options] | None:
    found = _part(Spec, location)
    return None if found is None or isinstance(found, Registry) else found


def _part(model: type[Options], location: Sequence[str | int]) -> type[Options] | Registry[Any] | None:
    """Follow a location through models and registries."""
    here: type[Options] | Registry[Any] | None = model
    for step in location:
        if isinstance(here, Registry):
            names = set(here)
            here = here[str(step)] if step in names else here
        elif here is not None and step in here.model_fields:
            field = here.model_fields[str(step)]
            here = _inside((*field.metadata, field.annotation))
    return here


def _inside(annotations: Iterable[Any]) -> type[Options] | Registry[Any] | None:
    """The first registry or model in an annotation."""
    for annotation in annotations:
        if isinstance(annotation, OneOf):
            return annotation.registry
        inner = _inside(get_args(annotation))
        if inner is not None:
            return inner
        # `Annotated[Base, OneOf(...)]` was seen above; a plain model stands for itself.
        if isinstance(annotation, type) and issubclass(annotation, Options):
            return annotation
    return None

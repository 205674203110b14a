"""What is wrong with a spec's values, as sentences: what was found, what is allowed, and the closest name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from harness.errors import closest, known_as
from harness.registry import NameOf, OneOf, Options, Registry
from harness.spec.reader import Location, Value, shorten
from harness.spec.schema import FILE_KEYS, Spec

# What a value should have been, by pydantic's name for the error.
_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "nothing",
}
_LIMITS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


class Fault(NamedTuple):
    """What is wrong with one place of the merged spec.

    Attributes:
        location: the keys that lead there.
        message: the sentence.
        on_key: whether the key is meant, and not its value.
        unknown_key: whether the key is none that may stand there.
    """

    location: Location
    message: str
    on_key: bool = False
    unknown_key: bool = False


def explain(error: ValidationError, value: dict[str, Value]) -> list[Fault]:
    """The faults behind a validation error of a `Spec`."""
    details = error.errors(include_url=False)
    # Strict tuples whose items are faulty are also called too short.
    faulty = {one["loc"][: len(one["loc"]) - 1] for one in details}
    faulty |= {loc[:depth] for loc in faulty for depth in range(1, len(loc))}
    details = [one for one in details if one["type"] != "too_short" or one["loc"] not in faulty]
    groups: dict[tuple[Location, object], list[ErrorDetails]] = {}
    for one in details:
        lacking = one["loc"] if one["type"] == "missing" else None
        groups.setdefault((_written(one["loc"], value), lacking), []).append(one)
    # A required key that was misspelt is wrong once, where it stands.
    meant = {
        (*location[:-1], closest(str(location[-1]), _keys(group[0]["loc"][:-1])))
        for (location, _), group in groups.items()
        if group[0]["type"] == "extra_forbidden"
    }
    found = [_fault(location, group, value) for (location, _), group in groups.items()]
    return [fault for fault in found if fault.location not in meant]


def _fault(location: Location, group: list[ErrorDetails], value: dict[str, Value]) -> Fault:
    first, *others = group
    kind, found = first["type"], first["input"]
    context: dict[str, Any] = dict(first.get("ctx") or {})
    if others and all(one["type"] in _KINDS for one in group):
        # A plain union: one error a member.
        wanted = dict.fromkeys(_KINDS[one["type"]] for one in group)
        return Fault(location, f"found {shorten(found)}; {', '.join(wanted)} would do")
    if kind == "extra_forbidden":
        name = str(location[-1])
        choices = _choices(name, _keys(first["loc"][:-1]))
        return Fault(location, f"unknown key {name!r} (found {shorten(found)}){choices}", on_key=True, unknown_key=True)
    if kind == "missing":
        name = str(first["loc"][-1])
        described = _field(first["loc"])
        meaning = f" ({described.description})" if described is not None and described.description else ""
        return Fault((*location, name), f"the key {name!r} is required{meaning}", on_key=True)
    if kind == "union_tag_not_found":
        key = _plain(context["discriminator"])
        return Fault(location, f"{shorten(found)} names no {key}{_choices('', _tags(first['loc']))}", on_key=True)
    if kind == "union_tag_invalid":
        return _unknown_part(location, _plain(context["discriminator"]), str(context["tag"]), first, value)
    if kind == "string_pattern_mismatch" and location[:1] == ("budgets",) and len(location) == 2:
        message = (
            f"the label {shorten(found)} may hold letters, digits, `_`, `-` and `.`, and starts with a letter or digit"
        )
        return Fault(location, message, on_key=True)
    return Fault(location, _sentence(kind, found, context, first))


def _unknown_part(location: Location, key: str, tag: str, details: ErrorDetails, value: dict[str, Value]) -> Fault:
    part = _part(details["loc"])
    meant = part.meant(tag) if isinstance(part, Registry) else []
    choices = _choices(tag, _tags(details["loc"]), meant)
    if key == "metric" and "metric" not in _at(value, location):
        message = f"no metric is called {shorten(tag)}, and the budget names none with `metric:`{choices}"
        return Fault(location, message, on_key=True)
    return Fault((*location, key), f"unknown {key} {shorten(tag)}{choices}")


def _sentence(kind: str, found: object, context: dict[str, Any], details: ErrorDetails) -> str:
    if kind == "literal_error":
        allowed = [_plain(part) for part in str(context["expected"]).replace(" or ", ", ").split(", ")]
        if isinstance(found, str) and str(context["expected"]) in (found, *allowed) and "'" not in context["expected"]:
            return f"found the text {shorten(found)}; {', '.join(allowed)} is allowed, without quotes"
        name = found if isinstance(found, str) else ""
        return f"found {shorten(found)}{_choices(name, allowed, _meant(name, details['loc']))}"
    if kind in _KINDS:
        return f"found {shorten(found)}; {_wanted(kind, found, details)}"
    if kind in _LIMITS:
        name, words = _LIMITS[kind]
        limit = context[name]
        return f"found {shorten(found)}; it must be {words} {limit if isinstance(limit, int) else f'{limit:g}'}"
    if kind in ("too_short", "string_too_short"):
        if not found:
            part = _part(details["loc"])
            wanted = f", and at least one {part.key} is needed" if isinstance(part, Registry) else ""
            return f"found {shorten(found)}, which is empty{wanted}{_choices('', _tags(details['loc']))}"
        return f"found {shorten(found)}; at least {context['min_length']} are needed"
    if kind == "value_error":
        message = details["msg"].removeprefix("Value error, ")
        return message if str(found) in message else f"{message} (found {shorten(found)})"
    if kind == "string_pattern_mismatch":
        field = _field(details["loc"])
        if field is not None and field.description:
            return f"found {shorten(found)}; expected {field.description}"
    return f"found {shorten(found)}; {details['msg'][0].lower()}{details['msg'][1:]}"


def _wanted(kind: str, found: object, details: ErrorDetails) -> str:
    """What should stand there, and how to write it where that is plain to see."""
    wanted = f"{_KINDS[kind]} is expected"
    if wanted.startswith("a mapping"):
        part = _part(details["loc"])
        if isinstance(part, Registry) and isinstance(found, str) and found in part:
            return f"a mapping is expected: {{{part.key}: {found}}}"
        if details["loc"][:1] == ("budgets",) and len(details["loc"]) < 4:
            return "a mapping of bounds is expected, for example {max_ratio: 0.5}"
        return f"a mapping is expected{f', with the key {part.key!r}' if isinstance(part, Registry) else ''}"
    if kind == "string_type":
        return f"{wanted}: put it in quotes" if isinstance(found, (int, float)) else wanted
    if kind in ("int_type", "float_type") and isinstance(found, str):
        try:
            float(found)
        except ValueError:
            return wanted
        return f"{wanted}: remove the quotes"
    if kind in ("tuple_type", "list_type") and isinstance(found, str):
        return f"{wanted}: [{found}]"
    if kind in ("tuple_type", "list_type") and isinstance(found, dict):
        return f"{wanted}: begin each item with `- `"
    return wanted


def _choices(name: str, allowed: Iterable[str], meant: Sequence[str] = ()) -> str:
    names = sorted(allowed)
    if not names:
        return ""
    near = closest(name, names) if name else None
    hint = f". {known_as(meant)}" if meant else f". Did you mean {near!r}?" if near else ""
    return f"; allowed: {', '.join(names)}{hint}"


def _meant(name: str, location: Sequence[str | int]) -> list[str]:
    """How a name of another's is written, where a registry names what may stand here."""
    field = _field(location)
    named = (one.names for one in (field.metadata if field is not None else ()) if isinstance(one, NameOf))
    return next((names.meant(name) for names in named if isinstance(names, Registry)), [])


def _plain(text: object) -> str:
    return str(text).strip().strip("'")


def _written(location: Sequence[str | int], value: dict[str, Value]) -> Location:
    """The key path of an error as far as it was written, without the union members that pydantic puts between."""
    path: list[str | int] = []
    at: Value = value
    for step in location:
        if (isinstance(at, dict) and step in at) or (isinstance(at, list) and isinstance(step, int)):
            at = at[step]  # type: ignore[index]
            path.append(step)
    return tuple(path)


def _at(value: Value, location: Location) -> Any:
    for step in location:
        value = value[step]  # type: ignore[index]
    return value


def _keys(location: Sequence[str | int]) -> list[str]:
    """The keys that a mapping may hold, by its location as pydantic gives it."""
    part = _part(location)
    keys = [] if part is None or isinstance(part, Registry) else list(part.model_fields)
    return [*keys, *FILE_KEYS] if part is Spec else keys


def _tags(location: Sequence[str | int]) -> list[str]:
    part = _part(location)
    return part.offered() if isinstance(part, Registry) else []


def _field(location: Sequence[str | int]) -> FieldInfo | None:
    part = _part(location[:-1])
    return None if part is None or isinstance(part, Registry) else part.model_fields.get(str(location[-1]))


def _part(location: Sequence[str | int]) -> type[Options] | Registry[Any] | None:
    """What a location holds: a registry before the name of the part, then the part."""
    here: type[Options] | Registry[Any] | None = Spec
    for step in location:
        if isinstance(here, Registry):
            here = here[str(step)] if step in set(here) else here
        elif here is not None and step in here.model_fields:
            field = here.model_fields[str(step)]
            here = _inside((*field.metadata, field.annotation))
    return here


def _inside(annotations: Iterable[Any]) -> type[Options] | Registry[Any] | None:
    """The first registry in an annotation, else the first model."""
    models: list[type[Options]] = []
    waiting = list(annotations)
    for annotation in waiting:
        if isinstance(annotation, OneOf):
            return annotation.registry
        # `Annotated[Method, OneOf(METHODS)]` keeps what it annotates beside its metadata.
        waiting.extend((*get_args(annotation), *getattr(annotation, "__metadata__", ())))
        if isinstance(annotation, type) and issubclass(annotation, Options):
            models.append(annotation)
    return models[0] if models else None

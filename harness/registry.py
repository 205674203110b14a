"""One registry for every family of parts: methods, metrics, sources, data, tasks, runtimes, kinds of measurement.

A part is a pydantic model (its typed options) with the family's function on it. Its name is the default of its
family's key: ``method: Literal["float16"] = "float16"``. Built-in parts are the modules of the family's package; other
distributions add theirs under the entry point group ``weighin.<family>``, each naming a module to import.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from harness.errors import UnknownName, WeighinError


class Part(BaseModel):
    """What a registry holds: a model whose default of the family's key is its name."""

    # Wrong on purpose, for proving the gate: it loads like any part, and is offered to nobody.
    fault: ClassVar[bool] = False
    # What others call it, in lower case with hyphens, each with the options that it then stands for (as YAML; or "").
    also: ClassVar[Mapping[str, str]] = {}


class Options(Part):
    """Options as a spec writes them: frozen, closed and strictly typed (the text "1e-3" is no number)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True)


P = TypeVar("P", bound=type[Part])
T = TypeVar("T", bound=Part)


class Registry(Generic[T]):
    """The parts of one family, by name.

    Args:
        family: plural name; also the package below `harness` and the suffix of the entry point group.
        key: the key that names a part in a spec, for example ``method``.
    """

    def __init__(self, family: str, key: str) -> None:
        self.family, self.key = family, key
        self._parts: dict[str, type[T]] = {}
        self._loaded = self._loading = False
        self._broken: str | None = None

    def register(self, part: P) -> P:
        """Class decorator: add a part. A name taken twice is an error, whoever takes it."""
        name = part.__pydantic_fields__[self.key].default
        taken = self._parts.get(name)
        if taken is not None:
            raise WeighinError(f"{self.key} {name!r} is registered twice: by {taken.__module__} and {part.__module__}")
        self._parts[name] = part  # type: ignore[assignment]
        return part

    def __getitem__(self, name: str) -> type[T]:
        """The part of that name.

        Raises:
            UnknownName: with the closest name.
        """
        self.load()
        try:
            return self._parts[name]
        except KeyError:
            raise UnknownName(self.key, name, self.offered(), self.meant(name)) from None

    def __iter__(self) -> Iterator[str]:
        self.load()
        return iter(sorted(self._parts))

    def __contains__(self, name: object) -> bool:
        self.load()
        return name in self._parts

    def offered(self) -> list[str]:
        """The names that docs, completion and messages list: all but those of faults."""
        return [name for name in self if not self._parts[name].fault]

    def meant(self, name: str) -> list[str]:
        """How the parts that are called so elsewhere are written here: ``{method: entropy-coding, coder: huffman}``."""
        asked = re.sub(r"[ _.]+", "-", name.strip().lower())
        # A part that is made from another has that one's options, and not its names.
        known = [(one, vars(self._parts[one]).get("also", {})) for one in self.offered()]
        return [
            f"{{{self.key}: {one}{', ' if also[asked] else ''}{also[asked]}}}" for one, also in known if asked in also
        ]

    def items(self) -> list[tuple[str, type[T]]]:
        """Every part with its name, in alphabetical order."""
        return [(name, self._parts[name]) for name in self]

    def load(self) -> None:
        """Import every module of the family's package, then what other distributions add.

        Raises:
            WeighinError: what one of them adds cannot be imported; the family cannot be used then, whoever asks.
        """
        # The modules of the package ask for the family while it is being loaded.
        if self._loaded or self._loading:
            return
        if self._broken is not None:
            # Half of the parts may be there; a second try would only find them taken.
            raise WeighinError(self._broken)
        self._loading = True
        try:
            package = importlib.import_module(f"harness.{self.family}")
            for module in pkgutil.walk_packages(package.__path__, prefix=f"{package.__name__}."):
                importlib.import_module(module.name)
            for entry in entry_points(group=f"weighin.{self.family}"):
                self._add(entry)
            self._loaded = True
        finally:
            self._loading = False

    def _add(self, entry: EntryPoint) -> None:
        try:
            entry.load()
        except Exception as error:
            owner = f"the distribution {entry.dist.name}" if entry.dist is not None else "an unknown distribution"
            self._broken = (
                f"{owner} adds {self.family} to weighin, and they cannot be loaded: entry point {entry.name!r} of "
                f"weighin.{self.family}, {entry.value}: {type(error).__name__}: {error}. Repair it, or uninstall it"
            )
            raise WeighinError(self._broken) from error


@dataclass(frozen=True)
class OneOf:
    """Annotation: a value is one of a family's registered parts, told apart by the family's key.

    ``compress: tuple[Annotated[Method, OneOf(METHODS)], ...]`` validates each step as the method that it names.
    """

    registry: Registry[Any]

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """A tagged union over the registered parts; built when the spec models are, so every part is known."""
        choices = {name: handler.generate_schema(part) for name, part in self.registry.items()}
        return core_schema.tagged_union_schema(choices, discriminator=self.registry.key)


@dataclass(frozen=True)
class NameOf:
    """Annotation: a text is one of some names."""

    names: Iterable[str]

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """A closed choice, which the editor schema lists."""
        return core_schema.literal_schema(list(self.names))

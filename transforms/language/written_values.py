"""Values of attributes as a person writes them in YAML, to the declared types; a mistake is told at its place."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from schemas.attributes import AttributeType, ListOf, MapOf, Scalar, type_text
from schemas.scalars import boolean, integer, moment
from transforms.language.context import Context, Path
from transforms.language.loading import meant

_MS = re.compile(r"-?[0-9]{1,15}", re.ASCII)


class WrittenValues:
    """Reads the values of one document.

    Args:
      zone: of timestamps without an offset.
    """

    def __init__(self, context: Context, zone: str) -> None:
        self._context, self._zone = context, zone

    def fields(self, given: Mapping[str, Any], declared: Mapping[str, AttributeType], path: Path) -> dict[str, Any]:
        """The fields of a mapping by their declared types: None for YAML's null, and for what is wrong and noted."""
        found: dict[str, Any] = {}
        for name, value in given.items():
            of = declared.get(name)
            if of is None:
                known = ", ".join(sorted(declared)) or "nothing"
                message = (
                    f"{'.'.join(map(str, path))}: {name!r} is not declared{meant(name, declared)}; there is {known}"
                )
                self._context.folder.problem(self._context.document.key_place((*path, name)), message)
                continue
            found[name] = self._noted(value, of, (*path, name))
        return found

    def _noted(self, given: Any, of: AttributeType, path: Path) -> Any:
        try:
            return self._value(given, of, path)
        except ValueError as error:
            self._context.problem(path, str(error))
            return None

    def _value(self, given: Any, of: AttributeType, path: Path) -> Any:
        if self._context.document.is_null(path):
            return None
        if isinstance(of, Scalar):
            return self._scalar(given, of)
        if isinstance(of, ListOf):
            if not isinstance(given, list):
                raise ValueError(f"right would be a list, {type_text(of)}")
            return [self._noted(item, of.element, (*path, place)) for place, item in enumerate(given)]
        if not isinstance(given, dict):
            raise ValueError(f"right would be a mapping, {type_text(of)}")
        declared = dict.fromkeys(given, of.value) if isinstance(of, MapOf) else dict(of.fields)
        return self.fields(given, declared, path)

    def _scalar(self, given: Any, of: Scalar) -> Any:
        if not isinstance(given, str):
            raise ValueError(f"right would be a single value ({of.kind}), not a {_shape(given)}")
        if of.kind == "string":
            return given
        if of.kind == "int":
            return integer(given)
        if of.kind == "bool":
            return boolean(given)
        if of.kind == "timestamp":
            return int(given) if _MS.fullmatch(given) else self._context.instant(moment(given), self._zone)
        return _double(given)


def _shape(given: Any) -> str:
    return "list" if isinstance(given, list) else "mapping"


def _double(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"{text!r} is no number; right would be e.g. 2.5")
    return found

"""What every part of a campaign is compiled with: the schema, its place in the file, and where mistakes go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from schemas.attributes import AttributeSchema, AttributeType, ListOf
from schemas.campaign_parts import ArrayAmount
from schemas.errors import ExpressionError
from schemas.expressions import Expression
from schemas.plans import Amount, ArraySum, CelAmount, DistinctItems, DistinctValue, Pairing
from schemas.triggers import ItemsValue, Pair
from transforms.language.expressions import check
from transforms.language.loading import Folder, meant
from transforms.language.translate import attributes_read
from transforms.language.yaml_source import Document

Path = tuple[str | int, ...]

UNKNOWN = Expression("", b"", "int")
"""Stands where an expression was refused: the plan is not used then."""


@dataclass(frozen=True)
class Context:
    """One document being compiled."""

    folder: Folder
    document: Document
    schema: AttributeSchema

    def problem(self, path: Path, message: str) -> None:
        """A mistake at a place in the file, named by its path."""
        name = ".".join(map(str, path))
        self.folder.problem(self.document.place(path), f"{name}: {message}" if name else message)

    def expression(
        self, text: str | None, path: Path, result: Literal["bool", "int", "value"], item: AttributeType | None = None
    ) -> Expression | None:
        """A checked expression; a mistake is told at the very character of the file, however the text is quoted."""
        if text is None:
            return None
        try:
            return check(text, self.schema, result=result, item=item)
        except ExpressionError as error:
            place = self.document.place_in_text(path, error.line, error.column)
            self.folder.problem(place, f"{'.'.join(map(str, path))}: {error.message}")
            return None

    def value(self, text: str, path: Path) -> Expression:
        """An expression whose value is compared or names a user."""
        return self.expression(text, path, "value") or UNKNOWN

    def of_event(self, text: str, path: Path) -> Expression:
        """A value of the event alone."""
        found = self.value(text, path)
        if found is not UNKNOWN and (read := attributes_read(found)[1]):
            self.problem(path, f"names user.{min(read)}; right would be a value of the event")
        return found

    def types(self, types: tuple[str, ...], path: Path) -> tuple[str, ...]:
        """Event types, sorted; one that is not declared is a mistake."""
        for i, event_type in enumerate(types):
            if event_type not in self.schema.event_types:
                hint, known = meant(event_type, self.schema.event_types), ", ".join(self.schema.event_types)
                place = (*path, i) if self.document.holds((*path, i)) else path
                self.folder.problem(
                    self.document.place(place),
                    f"{'.'.join(map(str, path))}: event type {event_type!r} is not declared{hint} (declared: {known})",
                )
        return tuple(sorted(set(types)))

    def amount(self, amount: str | ArrayAmount, path: Path) -> Amount:
        """An integer over the event, or over an array's elements."""
        if isinstance(amount, str):
            return CelAmount(self.expression(amount, path, "int") or UNKNOWN)
        name, element = self._array(amount.array, (*path, "in"))
        add = self.expression(amount.add, (*path, "add"), "int", element) if element else None
        where = self.expression(amount.where, (*path, "where"), "bool", element) if element else None
        return ArraySum(name, add or UNKNOWN, where)

    def distinct(self, value: str | ItemsValue, path: Path) -> DistinctValue | DistinctItems:
        """What is told apart."""
        if isinstance(value, str):
            return DistinctValue(self.value(value, path))
        name, element = self._array(value.array, (*path, "in"))
        of = self.expression(value.of, (*path, "of"), "value", element) if element else None
        where = self.expression(value.where, (*path, "where"), "bool", element) if element else None
        return DistinctItems(name, of or UNKNOWN, where)

    def pairing(self, same: str | Pair | None, path: Path) -> Pairing | None:
        """What two events have in common."""
        if same is None:
            return None
        if isinstance(same, str):
            found = self.of_event(same, path)
            return Pairing(found, found)
        return Pairing(self.of_event(same.first, (*path, "first")), self.of_event(same.then, (*path, "then")))

    @staticmethod
    def instant(moment: datetime | None, zone: str) -> int | None:
        """ms since the epoch; a time without an offset is of the zone."""
        if moment is None:
            return None
        aware = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))
        return round(aware.timestamp() * 1000)

    def _array(self, text: str, path: Path) -> tuple[str, AttributeType | None]:
        name = text.removeprefix("event.")
        kind = dict(self.schema.event.fields).get(name) if text.startswith("event.") else None
        if isinstance(kind, ListOf):
            return name, kind.element
        arrays = [f"event.{field}" for field, of in self.schema.event.fields if isinstance(of, ListOf)]
        self.problem(path, f"{text!r} is no array of the event (declared: {', '.join(arrays) or 'none'})")
        return name, None

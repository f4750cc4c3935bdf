"""YAML text to a tree that remembers where everything stands. Scalars stay text: the typed model reads them.

So `on:`, `no`, `17:00` and `010` mean what they look like. Anchors, aliases, tags and duplicate keys are refused, and
so are files and depths that no person writes. The tree is built from the parser's events in one pass: PyYAML's own
composer resolves every scalar's type, which nobody asks for here, and takes as long again.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import yaml

FILE_BYTES_MAX = 1 << 20
DEPTH_MAX = 20

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

KeyPath = tuple[str | int, ...]


class Place(NamedTuple):
    """Where something stands: 1-based."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class SourceError(ValueError):
    """Something in a file that is refused; the place and what would be right."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(f"{place}: {message}")
        self.place, self.message = place, message


class Node(NamedTuple):
    """Where a value stands: the parser's event that begins it, and what is below it."""

    event: Any
    children: dict[str | int, Node]
    keys: dict[str | int, Any]


_NOTHING: dict[str | int, Any] = {}
_NULLS = ("", "~", "null", "Null", "NULL")


class Source:
    """The text of a file, read once more for places when there is a mistake to tell."""

    def __init__(self, text: str, name: str) -> None:
        self.text, self.name = text, name
        self._roots, self._known = _roots(text), list[Node]()

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    def root(self, nth: int) -> Node:
        """Where the parts of the nth document stand (from 0, empty ones not counted); it was read before."""
        while len(self._known) <= nth:
            self._known.append(next(self._roots))
        return self._known[nth]


class Document(NamedTuple):
    """One YAML document: plain mappings, lists and text; where they stand is found when asked."""

    content: dict[str, Any]
    source: Source
    nth: int

    def holds(self, path: KeyPath) -> bool:
        """Whether there is a value at a path."""
        value: Any = self.content
        for part in path:
            if not (
                part in value if isinstance(value, dict) else isinstance(value, list) and part in range(len(value))
            ):
                return False
            value = value[part]
        return True

    def is_null(self, path: KeyPath) -> bool:
        """Whether a value is YAML's null: `null`, `~` or nothing, without quotes."""
        event = self._nearest(path)[0].event
        return type(event) is yaml.ScalarEvent and not event.style and event.value in _NULLS

    def place(self, path: KeyPath) -> Place:
        """The place of a value, or of the nearest thing above it."""
        return _place(self._nearest(path)[0].event, self.source.name)

    def key_place(self, path: KeyPath) -> Place:
        """The place of a mapping's key, or of the nearest thing above it."""
        above, depth = self._nearest(path[:-1])
        known = depth == len(path) - 1 and path[-1] in above.keys
        return _place(above.keys[path[-1]] if known else above.event, self.source.name)

    def place_in_text(self, path: KeyPath, line: int, column: int) -> Place:
        """The place of a character of a scalar's text, whatever its style; both 1-based in the text."""
        event = self._nearest(path)[0].event
        lines = event.value.split("\n")
        before = "".join(lines[: line - 1]) + "".join(lines[line - 1 : line])[: column - 1]
        count = sum(not char.isspace() for char in before)
        return Place(self.source.name, *_seek(self.source.lines, event, count))

    def _nearest(self, path: KeyPath) -> tuple[Node, int]:
        node = self.source.root(self.nth)
        for depth, part in enumerate(path):
            child = node.children.get(part)
            if child is None:
                return node, depth
            node = child
        return node, len(path)


def read_documents(path: Path) -> Iterator[Document]:
    """The documents of a file, in order; empty ones are passed over.

    Raises:
      SourceError: the file cannot be read, is no YAML, or uses what is refused.
    """
    name = str(path)
    start = Place(name, 1, 1)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SourceError(start, f"cannot be read: {error.strerror}") from None
    if len(raw) > FILE_BYTES_MAX:
        raise SourceError(start, f"is {len(raw):,} bytes long; a campaign file has at most {FILE_BYTES_MAX:,}")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SourceError(start._replace(line=line), f"is not UTF-8 text (byte {error.start})") from None
    yield from parse_documents(text, name)


def parse_documents(text: str, name: str) -> Iterator[Document]:
    """The documents of a text; name stands for the file in errors. Raises as `read_documents`."""
    try:
        yield from _Builder(text, name).documents()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(name, mark.line + 1, mark.column + 1) if mark else Place(name, 1, 1)
        raise SourceError(place, f"is no YAML: {error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:
        char = error.character if isinstance(error.character, str) else chr(error.character)
        before = text[: max(0, text.find(char))]
        place = Place(name, before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise SourceError(place, f"is no YAML: the character U+{ord(char):04X} is not allowed") from None


class _Builder:
    """Builds documents from the parser's events."""

    def __init__(self, text: str, name: str) -> None:
        self._loader, self._name, self._text = _Loader(text), name, text

    def documents(self) -> Iterator[Document]:
        source, nth = Source(self._text, self._name), 0
        try:
            for event in _first_events(self._loader):
                content = self._value(event, 0)
                if not isinstance(content, dict):
                    wanted = (
                        "a document is a mapping; it begins with campaign:, group:, theme:, partner:, tenant:, schema: "
                        "or test:"
                    )
                    raise self._error(event, wanted)
                yield Document(content, source, nth)
                nth += 1
        finally:
            self._loader.dispose()

    def _value(self, event: Any, depth: int) -> Any:
        kind = type(event)
        if kind is yaml.AliasEvent or event.anchor:
            raise self._error(event, "anchors and aliases (& and *) are not used here; write the value out")
        if event.tag not in (None, "!"):
            raise self._error(event, f"tags ({event.tag}) are not used here; write the value as it is")
        if kind is yaml.ScalarEvent:
            return event.value
        if depth == DEPTH_MAX:
            raise self._error(event, f"is nested more than {DEPTH_MAX} deep")
        if kind is yaml.MappingStartEvent:
            return self._mapping(depth + 1)
        values, take = [], self._loader.get_event
        while type(event := take()) is not yaml.SequenceEndEvent:
            values.append(self._value(event, depth + 1))
        return values

    def _mapping(self, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        take = self._loader.get_event
        while type(key := take()) is not yaml.MappingEndEvent:
            name = self._value(key, depth)
            if not isinstance(name, str):
                raise self._error(key, "a key is a single word")
            if name in values:
                raise self._error(key, f"{name!r} stands here twice; say it once")
            values[name] = self._value(take(), depth)
        return values

    def _error(self, event: Any, message: str) -> SourceError:
        return SourceError(_place(event, self._name), message)


def _first_events(loader: Any) -> Iterator[Any]:
    """The event that begins each document; empty documents are passed over."""
    while type(event := loader.get_event()) is not yaml.StreamEndEvent:
        if type(event) is yaml.DocumentStartEvent:
            first = loader.get_event()
            if type(first) is not yaml.ScalarEvent or first.value:
                yield first


def _roots(text: str) -> Iterator[Node]:
    loader = _Loader(text)
    for event in _first_events(loader):
        yield _node(loader, event)


def _node(loader: Any, event: Any) -> Node:
    if type(event) is yaml.ScalarEvent:
        return Node(event, _NOTHING, _NOTHING)
    node = Node(event, {}, {})
    if type(event) is yaml.SequenceStartEvent:
        while type(item := loader.get_event()) is not yaml.SequenceEndEvent:
            node.children[len(node.children)] = _node(loader, item)
        return node
    while type(key := loader.get_event()) is not yaml.MappingEndEvent:
        node.children[key.value] = _node(loader, loader.get_event())
        node.keys[key.value] = key
    return node


def _place(event: Any, name: str) -> Place:
    return Place(name, event.start_mark.line + 1, event.start_mark.column + 1)


def _seek(lines: list[str], event: Any, count: int) -> tuple[int, int]:
    """(line, column), 1-based, of the character of a scalar before which count visible ones of its text stand.

    Visible characters stand in a file in the order of the text, whatever folding and indenting do to the space
    between them; only quotes' escapes are more.
    """
    start, end, style = event.start_mark, event.end_mark, event.style
    line, column = (start.line + 1, 0) if style in ("|", ">") else (start.line, start.column + bool(style))
    last = (start.line + 1, start.column + 1)
    for number in range(line, min(end.line + 1, len(lines))):
        escaped = False
        for place in range(column if number == line else 0, len(lines[number])):
            char = lines[number][place]
            if (number, place) >= (end.line, end.column) or char.isspace():
                continue
            if not escaped and ((style == '"' and char == "\\") or (style == "'" and char == "'")):
                escaped = True
                continue
            if count == 0 and (number, place) < (end.line, end.column - bool(style in ("'", '"'))):
                return number + 1, place + 1
            count, escaped, last = count - 1, False, (number + 1, place + 2)
    return last

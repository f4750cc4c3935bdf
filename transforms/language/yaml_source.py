"""YAML text to a tree that remembers where everything stands. Scalars stay text: the typed model reads them.

So `on:`, `no`, `17:00` and `010` mean what they look like. Anchors, aliases, tags and duplicate keys are refused, and
so are files and depths that no person writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

FILE_BYTES_MAX = 4 << 20
DEPTH_MAX = 20

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Path_ = tuple[str | int, ...]


class Place(NamedTuple):
    """Where something stands: 1-based."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Document(NamedTuple):
    """One YAML document: plain mappings, lists and text, and the place of every value (and key) by its path."""

    content: dict[str, Any]
    places: dict[Path_, Place]
    blocks: dict[Path_, int]
    """By path, the line at which a block scalar's (or other multi-line) text begins."""

    def place(self, path: Path_) -> Place:
        """The place of a value, or of the nearest thing above it."""
        while path not in self.places:
            path = path[:-1]
        return self.places[path]


class SourceError(ValueError):
    """Something in a file that is refused; the place and what would be right."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(f"{place}: {message}")


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
        raise SourceError(start, f"is not UTF-8 text (byte {error.start})") from None
    yield from _documents(text, name)


def _documents(text: str, name: str) -> Iterator[Document]:
    loader = _Loader(text)
    try:
        _refuse_aliases(text, name)
        while loader.check_node():
            node = loader.get_node()
            if isinstance(node, yaml.ScalarNode) and not node.value:
                continue
            assert node is not None
            yield _document(node, name)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(name, mark.line + 1, mark.column + 1) if mark else Place(name, 1, 1)
        raise SourceError(place, f"is no YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise SourceError(Place(name, 1, 1), f"is no YAML: {error}") from None
    except RecursionError:
        raise SourceError(Place(name, 1, 1), f"is nested more than {DEPTH_MAX} deep") from None
    finally:
        loader.dispose()


def _refuse_aliases(text: str, name: str) -> None:
    """Anchors and aliases make one thing stand in two places (and bombs): each thing is said once."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        marked = isinstance(event, yaml.AliasEvent) or (isinstance(event, yaml.NodeEvent) and event.anchor)
        assert event.start_mark is not None
        place = Place(name, event.start_mark.line + 1, event.start_mark.column + 1)
        if marked:
            raise SourceError(place, "anchors and aliases (& and *) are not used here; write the value out")
        if depth > DEPTH_MAX:
            raise SourceError(place, f"is nested more than {DEPTH_MAX} deep")
        tag = getattr(event, "tag", None)
        if tag not in (None, "!"):
            raise SourceError(place, f"tags ({tag}) are not used here; write the value as it is")


def _document(node: yaml.Node, name: str) -> Document:
    if not isinstance(node, yaml.MappingNode):
        raise SourceError(
            _place(node, name), "a document is a mapping; it begins with campaign:, theme:, tenant: or schema:"
        )
    document = Document({}, {}, {})
    document.content.update(_value(node, name, (), document))
    return document


def _value(node: yaml.Node, name: str, path: Path_, document: Document) -> Any:
    document.places[path] = _place(node, name)
    if isinstance(node, yaml.ScalarNode):
        document.blocks[path] = node.start_mark.line + (2 if node.style in ("|", ">") else 1)
        return node.value
    if isinstance(node, yaml.SequenceNode):
        return [_value(child, name, (*path, i), document) for i, child in enumerate(node.value)]
    found: dict[str, Any] = {}
    for key, child in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise SourceError(_place(key, name), "a key is a single word")
        if key.value in found:
            raise SourceError(_place(key, name), f"{key.value!r} stands here twice; say it once")
        found[key.value] = _value(child, name, (*path, key.value), document)
        document.places[(*path, key.value, "")] = _place(key, name)
    return found


def _place(node: yaml.Node, name: str) -> Place:
    return Place(name, node.start_mark.line + 1, node.start_mark.column + 1)

"""A folder of campaign files to typed models; a mistake is told with file, line, column, field and what is right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from schemas.campaigns import DOCUMENTS, Campaign, EventSchema, Group, Partner, Tenant, Theme, UserSchema
from schemas.errors import CampaignFileError
from transforms.language.yaml_source import Document, Place, SourceError, read_documents

KINDS = (*DOCUMENTS, "schema", "test")

AModel = TypeVar("AModel", bound=BaseModel)


@dataclass(frozen=True)
class Loaded:
    """One document as a model, with where its parts stand."""

    model: BaseModel
    document: Document


@dataclass
class Folder:
    """All documents of a folder, by kind and id, and what is wrong with them."""

    path: Path
    campaigns: dict[str, Loaded] = field(default_factory=dict)
    themes: dict[str, Loaded] = field(default_factory=dict)
    partners: dict[str, Loaded] = field(default_factory=dict)
    groups: dict[str, Loaded] = field(default_factory=dict)
    tenants: list[Loaded] = field(default_factory=list)
    schemas: dict[str, Loaded] = field(default_factory=dict)
    tests: list[Document] = field(default_factory=list)
    """Unread: only who asks for tests is stopped by a mistake in one."""
    problems: list[tuple[Place, str]] = field(default_factory=list)
    unread: set[str] = field(default_factory=set)
    """Of what could not be read: "file", or "events" and "users" for schemas. Nothing is told to be missing then."""

    def problem(self, place: Place, message: str) -> None:
        """Note a mistake; all of them are told at once."""
        self.problems.append((place, message))

    def require_right(self) -> None:
        """Raise CampaignFileError if anything is wrong."""
        if self.problems:
            raise CampaignFileError(tuple(f"{place}: {message}" for place, message in sorted(self.problems)))


def read_folder(path: Path) -> Folder:
    """Read the .yaml and .yml files directly in a folder.

    Raises:
      CampaignFileError: there is no such folder, or no file in it. What is wrong inside is noted, to be told at once.
    """
    folder = Folder(path)
    files = sorted(found for found in path.glob("*.y*ml") if found.suffix in (".yaml", ".yml")) if path.is_dir() else []
    if not files:
        what = "has no .yaml file" if path.is_dir() else "is no folder"
        raise CampaignFileError((f"{path}: {what}; right would be a folder of campaign files",))
    for file in files:
        try:
            for document in read_documents(file):
                _take(folder, document)
        except SourceError as error:
            folder.problem(error.place, error.message)
            folder.unread.add("file")
    return folder


def _take(folder: Folder, document: Document) -> None:
    content = document.content
    kinds = [kind for kind in KINDS if kind in content]
    first = next(iter(content), "")
    if not kinds or first not in KINDS:
        hint = meant(first, KINDS)
        folder.problem(document.place(()), f"a document begins with one of {', '.join(KINDS)}, not {first!r}{hint}")
        return
    if first == "test":
        folder.tests.append(document)
        return
    if first == "schema":
        _take_schema(folder, document)
        return
    model = validated(folder, DOCUMENTS[first], document)
    if model is not None:
        _keep(folder, first, Loaded(model, document))


def _keep(folder: Folder, kind: str, loaded: Loaded) -> None:
    model = loaded.model
    document = loaded.document
    if isinstance(model, Tenant):
        if folder.tenants:
            folder.problem(
                document.place((kind,)),
                f"a folder is one tenant; the other stands at {folder.tenants[0].document.place(())}",
            )
        folder.tenants.append(loaded)
        return
    known, name = _place_of(folder, model)
    other = folder.campaigns if isinstance(model, Group) else folder.groups if isinstance(model, Campaign) else {}
    if name in other:
        folder.problem(
            document.place((kind,)),
            f"{name!r} is a campaign and a group, which share their ids; the other at {other[name].document.place(())}",
        )
    if name in known:
        folder.problem(
            document.place((kind,)), f"{kind} {name!r} stands twice; the other at {known[name].document.place((kind,))}"
        )
    known.setdefault(name, loaded)


def _place_of(folder: Folder, model: BaseModel) -> tuple[dict[str, Loaded], str]:
    if isinstance(model, Campaign):
        return folder.campaigns, model.campaign
    if isinstance(model, Group):
        return folder.groups, model.group
    if isinstance(model, Partner):
        return folder.partners, model.partner
    return folder.themes, cast("Theme", model).theme


def _take_schema(folder: Folder, document: Document) -> None:
    of = document.content["schema"]
    kinds: dict[Any, type[BaseModel]] = {"events": EventSchema, "users": UserSchema}
    if not isinstance(of, str) or of not in kinds:
        folder.problem(document.place(("schema",)), f"a schema is of events or users, not {of!r}")
        return
    if of in folder.schemas:
        other = folder.schemas[of].document.place(("schema",))
        folder.problem(document.place(("schema",)), f"the schema of {of} stands twice; the other at {other}")
        return
    model = validated(folder, kinds[of], document)
    if model is None:
        folder.unread.add(of)
    else:
        folder.schemas[of] = Loaded(model, document)


def validated(folder: Folder, model: type[AModel], document: Document) -> AModel | None:
    """A document as a model; None if something in it is wrong, which is noted then."""
    try:
        return model.model_validate(document.content)
    except ValidationError as error:
        for found in error.errors(include_url=False):
            _tell(folder, model, document, found)
    return None


def _tell(folder: Folder, model: type[BaseModel], document: Document, found: Any) -> None:
    """One of pydantic's errors, at its place, in the file's own words."""
    path = _path_in(document, found["loc"])
    name = ".".join(str(part) for part in path)
    value, kind = found["input"], found["type"]
    if kind == "too_short" and value:
        return  # an entry is wrong, which is told by itself
    if kind == "extra_forbidden":
        allowed = _keys_at(model, document.content, path[:-1])
        place = document.key_place(path)
        where = f" in {'.'.join(map(str, path[:-1]))}" if path[:-1] else ""
        folder.problem(
            place, f"{path[-1]!r} is not known{where}{meant(str(path[-1]), allowed)}; known: {', '.join(allowed)}"
        )
        return
    message = found["msg"].removeprefix("Value error, ")
    if kind == "missing":
        missing = found["loc"][-1]
        message, name = f"{missing}: is missing", ".".join(str(part) for part in path if part != missing)
    elif kind in ("literal_error", "enum"):
        known = re.findall(r"'([^']*)'", found["ctx"]["expected"])
        message = f"{value!r} is not known{meant(str(value), known)}; known: {', '.join(known)}"
    elif kind in _WANTED:
        message = f"right would be {_WANTED[kind]}, not {_shown(value)}"
    elif kind in ("too_short", "too_long"):
        message = "names at least one" if kind == "too_short" else f"has at most {found['ctx']['max_length']} entries"
    folder.problem(document.place(path), f"{name}: {message}" if name else message)


_WANTED = {
    "tuple_type": "a list", "string_type": "text", "model_type": "a mapping", "dict_type": "a mapping",
    "model_attributes_type": "a mapping",
}  # fmt: skip


def _shown(value: Any) -> str:
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a mapping"
    return repr(value) if value else "nothing"


def _path_in(document: Document, location: Iterable[Any]) -> tuple[str | int, ...]:
    """pydantic's location as a path in the file: parts that are no keys there (types of a union) fall out."""
    path: tuple[str | int, ...] = ()
    for part in location:
        if document.holds((*path, part)):
            path = (*path, part)
    return path


def _keys_at(model: type[BaseModel], content: Any, path: tuple[str | int, ...]) -> list[str]:
    """The keys that are known at a path: found by asking the model for what stands there."""
    schema = _json_schema(model)
    node: Any = schema
    value = content
    for part in path:
        value = value[part]
        node = _resolved(schema, node, value)
        inside = node.get("properties", {})
        node = node.get("items", {}) if isinstance(part, int) else inside.get(part, {})
    return sorted(_resolved(schema, node, None).get("properties", {}))


@lru_cache(maxsize=16)
def _json_schema(model: type[BaseModel]) -> Any:
    return model.model_json_schema()


def _resolved(schema: Any, node: Any, value: Any) -> Any:
    """Follow $ref, and of a union take the forms that are mappings or lists."""
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    union = node.get("anyOf") or node.get("oneOf")
    if union:
        forms = [_resolved(schema, form, value) for form in union]
        properties: dict[str, Any] = {}
        for form in forms:
            properties |= form.get("properties", {})
        merged = {"properties": properties} if properties else {}
        items = next((form["items"] for form in forms if "items" in form), None)
        return merged | ({"items": items} if items else {})
    return node


def meant(given: str, known: Iterable[str]) -> str:
    """A hint at the known word that was probably meant, or nothing."""
    close = difflib.get_close_matches(given, list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""

"""A folder of campaign files to typed models; a mistake is told with file, line, column, field and what is right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from schemas.campaigns import DOCUMENTS, Campaign, EventSchema, Tenant, Theme, UserSchema
from schemas.errors import CampaignFileError
from transforms.language.yaml_source import Document, Place, SourceError, read_documents

KINDS = (*DOCUMENTS, "schema")


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
    tenants: list[Loaded] = field(default_factory=list)
    schemas: dict[str, Loaded] = field(default_factory=dict)
    problems: list[tuple[Place, str]] = field(default_factory=list)

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
      CampaignFileError: there is no such folder, no file in it, or a file is no YAML.
    """
    folder = Folder(path)
    files = sorted(found for found in path.glob("*.y*ml") if found.suffix in (".yaml", ".yml")) if path.is_dir() else []
    if not files:
        what = "has no .yaml file" if path.is_dir() else "is no folder"
        raise CampaignFileError((f"{path}: {what}; right would be a folder of campaign files",))
    sources: list[str] = []
    for file in files:
        try:
            for document in read_documents(file):
                _take(folder, document)
        except SourceError as error:
            sources.append(str(error))
    if sources:
        told = [f"{place}: {message}" for place, message in sorted(folder.problems)]
        raise CampaignFileError((*sources, *told))
    return folder


def _take(folder: Folder, document: Document) -> None:
    content = document.content
    kinds = [kind for kind in KINDS if kind in content]
    first = next(iter(content), "")
    if not kinds or first not in KINDS:
        hint = _meant(first, KINDS)
        folder.problem(document.place(()), f"a document begins with one of {', '.join(KINDS)}, not {first!r}{hint}")
        return
    if first == "schema":
        _take_schema(folder, document)
        return
    model = _validated(folder, DOCUMENTS[first], document)
    if model is not None:
        _keep(folder, first, Loaded(model, document))


def _keep(folder: Folder, kind: str, loaded: Loaded) -> None:
    model = loaded.model
    place = loaded.document.place((kind,))
    if isinstance(model, Tenant):
        if folder.tenants:
            folder.problem(place, f"a folder is one tenant; the other stands at {folder.tenants[0].document.place(())}")
        folder.tenants.append(loaded)
        return
    known = folder.campaigns if isinstance(model, Campaign) else folder.themes
    name = model.campaign if isinstance(model, Campaign) else cast("Theme", model).theme
    if name in known:
        folder.problem(place, f"{kind} {name!r} stands twice; the other at {known[name].document.place((kind,))}")
    known.setdefault(name, loaded)


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
    model = _validated(folder, kinds[of], document)
    if model is not None:
        folder.schemas[of] = Loaded(model, document)


def _validated(folder: Folder, model: type[BaseModel], document: Document) -> BaseModel | None:
    try:
        return model.model_validate(document.content)
    except ValidationError as error:
        for found in error.errors(include_url=False, include_context=False):
            _tell(folder, model, document, found)
    return None


def _tell(folder: Folder, model: type[BaseModel], document: Document, found: Any) -> None:
    """One of pydantic's errors, at its place, in the file's own words."""
    path = _path_in(document, found["loc"])
    name = ".".join(str(part) for part in path)
    value = found["input"]
    if found["type"] == "extra_forbidden":
        allowed = _keys_at(model, document.content, path[:-1])
        place = document.places.get((*path, ""), document.place(path))
        where = f" in {'.'.join(map(str, path[:-1]))}" if path[:-1] else ""
        folder.problem(
            place, f"{path[-1]!r} is not known{where}{_meant(str(path[-1]), allowed)}; known: {', '.join(allowed)}"
        )
        return
    message = found["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if found["type"] == "missing":
        missing = found["loc"][-1]
        message, name = f"{missing}: is missing", ".".join(str(part) for part in path if part != missing)
    elif found["type"] == "literal_error":
        message = f"{value!r} is not {message.removeprefix('Input should be ')}"
    elif found["type"] in ("tuple_type", "model_type", "dict_type", "model_attributes_type", "string_type"):
        wanted = {"tuple_type": "a list", "string_type": "text"}.get(found["type"], "a mapping")
        message = f"{value!r} is no {wanted.split()[-1]}; right would be {wanted}"
    folder.problem(document.place(path), f"{name}: {message}" if name else message)


def _path_in(document: Document, location: Iterable[Any]) -> tuple[str | int, ...]:
    """pydantic's location as a path in the file: parts that are no keys there (types of a union) fall out."""
    path: tuple[str | int, ...] = ()
    for part in location:
        if (*path, part) in document.places:
            path = (*path, part)
    return path


def _keys_at(model: type[BaseModel], content: Any, path: tuple[str | int, ...]) -> list[str]:
    """The keys that are known at a path: found by asking the model for what stands there."""
    schema = model.model_json_schema()
    node: Any = schema
    value = content
    for part in path:
        value = value[part]
        node = _resolved(schema, node, value)
        inside = node.get("properties", {})
        node = node.get("items", {}) if isinstance(part, int) else inside.get(part, {})
    return sorted(_resolved(schema, node, None).get("properties", {}))


def _resolved(schema: Any, node: Any, value: Any) -> Any:
    """Follow $ref, and of a union take the forms that are mappings or lists."""
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    if "anyOf" in node:
        forms = [_resolved(schema, form, value) for form in node["anyOf"]]
        properties: dict[str, Any] = {}
        for form in forms:
            properties |= form.get("properties", {})
        merged = {"properties": properties} if properties else {}
        items = next((form["items"] for form in forms if "items" in form), None)
        return merged | ({"items": items} if items else {})
    return node


def _meant(given: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(given, list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""

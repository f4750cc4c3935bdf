"""A drafted schema file: what it says of Avro, Parquet and JSON lines, and that it can be loaded as it is."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pyarrow
import pyarrow.parquet
import pytest

from schemas.errors import SchemaError
from transforms.language import load_folder
from transforms.language.infer import infer

ENVELOPE = {"event_id": "1", "event_type": "purchase", "user_id": "u", "event_time": "2017-01-01T00:00:00Z"}


def lines(path: Path, *records: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def drafted(tmp_path: Path, *events: dict[str, Any]) -> str:
    return infer([lines(tmp_path / "e.jsonl", *({**ENVELOPE, **event} for event in events))], [])


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([1, None, 2], "  x: int"),
        ([1, 2.5], "  x: double  # an amount? then produce it as an integer in minor units"),
        ([True], "  x: bool"),
        (["2017-01-01T00:00:00Z"], "  x: string"),
        ([["a"], []], "  x: [string]"),
        ([[{"a": 1}], [{"b": "x"}]], "  x: [{a: int, b: string}]"),
        ([{"a": 1}, {"b": {"c": True}}], "  x: {a: int, b: {c: bool}}"),
        ([1, "a"], "  # x: sometimes int, sometimes string: declare it once its producer is mended"),
        (
            [{"a": 1}, {"a": "b"}],
            "  # x: a in it is sometimes int, sometimes string: declare it once its producer is mended",
        ),
        ([None], "  # x: always null or empty here"),
        ([{}], "  # x: always null or empty here"),
        ([[[1]]], "  # x: an array of arrays or of maps cannot be declared; right would be an array of records"),
    ],
)
def test_json_lines(tmp_path: Path, values: list[Any], line: str) -> None:
    text = drafted(tmp_path, *({"x": value} for value in values))
    assert line in text.splitlines()


def test_every_draft_can_be_loaded_as_it_is(tmp_path: Path) -> None:
    nothing_known = drafted(tmp_path, {"grid": [[1]], "empty": {}, "odd: name": 1, "-": 2, "n": None})
    folder = tmp_path / "campaigns"
    folder.mkdir()
    (folder / "schema.yaml").write_text(nothing_known)
    (folder / "c.yaml").write_text("campaign: c\ntrigger: {on: purchase}\ngrant: {points: 1}")
    assert dict(load_folder(folder).schema.event.fields).keys() == {"odd: name", "-"}
    (folder / "schema.yaml").write_text(drafted(tmp_path, {}))
    assert load_folder(folder).schema.event.fields == ()


def test_an_avro_header_knows_what_records_do_not_show(tmp_path: Path) -> None:
    item = {"type": "record", "name": "Item", "fields": [{"name": "amount", "type": "long"}]}
    types = {
        "amount": ["null", "long"], "items": {"type": "array", "items": item}, "first": ["null", "Item"],
        "labels": {"type": "map", "values": "long"}, "mixed": ["long", "string"], "raw": "bytes",
        "at": {"type": "long", "logicalType": "timestamp-millis"}, "kind": {"type": "enum", "name": "K", "symbols": ["A"]},
        "price": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2},
    }  # fmt: skip
    fields = [{"name": name, "type": "string"} for name in ENVELOPE] + [
        {"name": n, "type": t} for n, t in types.items()
    ]
    path = tmp_path / "e.avro"
    record = {**ENVELOPE, "items": [], "labels": {"a": 1}, "mixed": 1, "raw": b"", "at": 0, "kind": "A"}
    with path.open("wb") as file:
        fastavro.writer(file, {"type": "record", "name": "E", "fields": fields}, [{**record, "price": Decimal(1)}])
    text = infer([str(path)], []).splitlines()
    for line in (
        "types: [purchase]", "  amount: int", "  items: [{amount: int}]", "  first: {amount: int}", '  labels: {"*": int}',
        "  # mixed: sometimes int, sometimes string: declare it once its producer is mended", "  at: timestamp",
        "  kind: string", "  # raw: values of Avro type bytes cannot be declared",
        "  # price: values of Avro type decimal cannot be declared",
    ):  # fmt: skip
        assert line in text


def test_a_parquet_schema(tmp_path: Path) -> None:
    table = pyarrow.Table.from_pylist(
        [{**ENVELOPE, "amount": None, "items": [{"amount": 1}]}],
        pyarrow.schema(
            [(name, pyarrow.string()) for name in ENVELOPE]
            + [("amount", pyarrow.int64()), ("items", pyarrow.list_(pyarrow.struct([("amount", pyarrow.int32())])))]
        ),
    )
    pyarrow.parquet.write_table(table, tmp_path / "e.parquet")
    text = infer([str(tmp_path / "e.parquet")], []).splitlines()
    assert {"types: [purchase]", "  amount: int", "  items: [{amount: int}]"} <= set(text)


def test_an_envelope_under_other_names_is_told_with_candidates(tmp_path: Path) -> None:
    record = {"id": "1", "eventType": "purchase", "customerId": "u", "ts": "2017-01-01T00:00:00Z", "amount": 5}
    path = lines(tmp_path / "e.jsonl", record)
    text = infer([path], [path])
    assert "# The events have no user_id: perhaps it is customerId" in text
    assert "# envelope: {event_id: id, event_type: eventType, user_id: customerId, event_time: ts}" in text
    assert "# The users have no user_id: perhaps it is customerId" in text


def test_what_cannot_be_read(tmp_path: Path) -> None:
    for name, content, told in (
        ("e.jsonl", b"", "no record to look at"),
        ("e.jsonl", b"{}\n[1]\n", ":2: no JSON object"),
        ("e.avro", b"x", "cannot be read as Avro"),
        ("e.parquet", b"x", "cannot be read as Parquet"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SchemaError, match=told):
            infer([str(tmp_path / name)], [])

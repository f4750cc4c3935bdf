"""What is encoded by columns is read by fastavro, record by record."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.avro_columns import column_encoder
from schemas.codec import ContainerWriter, own_schema, read_container

TEXTS = st.one_of(st.text(max_size=5), st.sampled_from(["points", "é" * 100, "x" * 127, "x" * 128, "x" * 20_000]))
LONGS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.sampled_from([0, -1, 63, 64, -64, -65, 2**53 + 1]))
TYPES = {"string": TEXTS, "long": LONGS}


def records_of(schema: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    def values(of: Any) -> st.SearchStrategy[Any]:
        if isinstance(of, list):
            return st.none() | TEXTS
        return TYPES[of] if isinstance(of, str) else st.dictionaries(TEXTS, TEXTS, max_size=3)

    record = st.fixed_dictionaries({field["name"]: values(field["type"]) for field in own_schema(schema)["fields"]})
    return st.lists(record, max_size=9)


@pytest.mark.parametrize("schema", ["grant", "denial"])
@given(data=st.data())
def test_fastavro_reads_what_columns_wrote(schema: str, data: st.DataObject) -> None:
    records, encode = data.draw(records_of(schema)), column_encoder(own_schema(schema))
    assert encode is not None
    source = io.BytesIO(encode(records))
    assert [fastavro.schemaless_reader(source, own_schema(schema), None) for _ in records] == records
    assert source.read() == b""


def test_other_schemas_are_left_to_fastavro() -> None:
    assert column_encoder(own_schema("reversal")) is None


@pytest.mark.parametrize("batches", [[], [0], [3, 0, 2], [1_000, 1_000, 1]])
def test_a_container_holds_its_batches_in_order(batches: list[int], tmp_path: Path) -> None:
    blank = {"grant_id": "", "tenant": "t", "campaign_id": "c", "campaign_version": "v", "user_id": "u", "event_time": "",
             "amount": 1, "asked": 1, "unit": "points", "kind": "points", "details": {}, "expires_at": None}  # fmt: skip
    given = [[blank | {"event_id": f"{batch}-{i}"} for i in range(size)] for batch, size in enumerate(batches)]
    container = ContainerWriter(tmp_path / "grants.avro", "grant")
    for batch in given:
        container.write(batch)
    container.close()
    with open(tmp_path / "grants.avro", "rb") as file:
        assert list(read_container(file)) == [record for batch in given for record in batch]

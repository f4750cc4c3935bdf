"""YAML with places: scalars stay text, what is refused is told where it stands, characters are found in any style."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.language.yaml_source import (
    FILE_BYTES_MAX,
    Document,
    Place,
    SourceError,
    parse_documents,
    read_documents,
)


def one(text: str) -> Document:
    (document,) = parse_documents(text, "f.yaml")
    return document


def refused(text: str) -> str:
    with pytest.raises(SourceError) as error:
        list(parse_documents(text, "f.yaml"))
    return str(error.value)


@pytest.mark.parametrize("text", ["no", "on", "010", "17:00", "1e3", "2017-01-01", "3_000_000", "null", "~", "0x1f"])
def test_scalars_stay_text(text: str) -> None:
    assert one(f"a: {text}").content == {"a": text}


def test_keys_stay_text_too() -> None:
    assert one("on: 1\nno: 2\n1: 3").content == {"on": "1", "no": "2", "1": "3"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: &x 1", "f.yaml:1:4: anchors and aliases"),
        ("a: 1\nb: *x", "f.yaml:2:4: anchors and aliases"),
        ("&k a: 1", "f.yaml:1:1: anchors and aliases"),
        ("a: !!python/object:x {}", "f.yaml:1:4: tags"),
        ("a: 1\nb: {c: 1, c: 2}", "f.yaml:2:11: 'c' stands here twice"),
        ("? [a]\n: 1", "f.yaml:1:3: a key is a single word"),
        ("a: " + "[" * 21 + "]" * 21, "f.yaml:1:23: is nested more than 20 deep"),
        ("a: " + "[" * 50_000, "f.yaml:1:23: is nested more than 20 deep"),
        ("a: [1", "f.yaml:2:1: is no YAML"),
        ("a: 1\nb: \x07", "f.yaml:2:4: is no YAML: the character U+0007 is not allowed"),
        ("a: 1\n---\n- b", "f.yaml:3:1: a document is a mapping"),
        ("hello", "f.yaml:1:1: a document is a mapping"),
    ],
)
def test_what_is_refused_is_told_where_it_stands(text: str, told: str) -> None:
    assert refused(text + ("\n" if text.endswith("[1") else "")).startswith(told)


def test_depth_20_is_borne() -> None:
    assert one("a: " + "[" * 19 + "]" * 19).content["a"]


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: \xc3\xa4\n---\n---\nb: 1\n")
    assert [document.content for document in read_documents(file)] == [{"a": "ä"}, {"b": "1"}]
    for content, told in (
        (b"a: 1\nb: \xff", ":2:1: is not UTF-8 text (byte 8)"),
        (b"#" * (FILE_BYTES_MAX + 1), "bytes long; a campaign file has at most 1,048,576"),
    ):
        file.write_bytes(content)
        with pytest.raises(SourceError) as error:
            list(read_documents(file))
        assert told in str(error.value)
    with pytest.raises(SourceError, match="cannot be read"):
        list(read_documents(tmp_path / "none.yaml"))


def test_places() -> None:
    document = list(parse_documents("x: 1\n---\n\n---\na:\n  - {b: c}\n", "f.yaml"))[1]
    assert document.place(("a", 0, "b")) == Place("f.yaml", 6, 9)
    assert document.key_place(("a", 0, "b")) == Place("f.yaml", 6, 6)
    assert document.holds(("a", 0, "b")) and not document.holds(("a", 1)) and not document.holds(("a", 0, "b", "x"))
    assert document.place(("a", 0, "nothing")) == Place("f.yaml", 6, 5), "the nearest thing above"


STYLES = {
    "plain": "a: {}",
    "double": 'a: "{}"',
    "single": "a: '{}'",
    "literal": "a: |\n    {}\n",
    "folded": "a: >-\n  {}\nb: c",
}


@given(st.lists(st.sampled_from(["x", "yz", "&&", "ä", "=="]), min_size=1, max_size=6), st.sampled_from(sorted(STYLES)))
def test_a_character_is_found_in_any_style(words: list[str], style: str) -> None:
    text = " ".join(["k", *words, "Q", "k"])
    source = STYLES[style].format(text)
    place = one(source).place_in_text(("a",), 1, text.index("Q") + 1)
    assert source.splitlines()[place.line - 1][place.column - 1] == "Q"


@pytest.mark.parametrize(
    ("source", "line", "column"),
    [
        ('a: "x == \\"U\\" Q"', 1, 10),
        ("a: 'x == ''U'' Q'", 1, 10),
        ("a: |\n  x &&\n    Q\n", 2, 3),
        ("a: >\n  x &&\n  Q\n", 1, 6),
        ("a: x &&\n   Q", 1, 6),
    ],
)
def test_a_character_is_found_past_escapes_and_line_breaks(source: str, line: int, column: int) -> None:
    place = one(source).place_in_text(("a",), line, column)
    assert source.splitlines()[place.line - 1][place.column - 1] == "Q"


def test_the_end_of_a_text_is_just_behind_it() -> None:
    assert one("a: x >").place_in_text(("a",), 1, 4) == Place("f.yaml", 1, 7)

"""Checked expressions: CEL that was parsed and type-checked where campaigns are loaded."""

from __future__ import annotations

from typing import Literal

import msgspec


class Expression(msgspec.Struct, frozen=True, array_like=True):
    """One expression.

    Attributes:
      text: as the campaign says it.
      checked: a serialized cel.expr.CheckedExpr in a google.protobuf.Any: data, never code.
      kind: "bool" for a condition, "int" for an amount, "value" for a text, an integer or a truth value.
    """

    text: str
    checked: bytes
    kind: Literal["bool", "int", "value"]

"""Promotion cases of other projects' test suites, restated as data: the product decides each as its file expects."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.support.promotion_cases import Case, all_cases, difference

CASES = all_cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_is_decided_as_expected(case: Case, tmp_path: Path) -> None:
    told = difference(case, tmp_path)
    if told:
        pytest.fail(told, pytrace=False)


def test_no_two_cases_have_one_name() -> None:
    assert [name for name, times in Counter(case.name for case in CASES).items() if times > 1] == []

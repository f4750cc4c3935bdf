"""Every example of docs/campaigns.md is a right campaign file, and the tests among them pass."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runners.cli import main
from runners.ops.campaign_tests import load_tested_folder
from runners.ops.expectations import run_test

PAGE = (Path(__file__).parents[2] / "docs" / "campaigns.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) > 6 and EXAMPLES[0].startswith("schema: events")


@pytest.mark.parametrize("example", EXAMPLES[1:], ids=lambda text: text.split("\n", 1)[0])
def test_an_example_is_right(example: str, tmp_path: Path) -> None:
    (tmp_path / "schema.yaml").write_text(EXAMPLES[0])
    (tmp_path / "example.yaml").write_text(example)
    _, plan_set, tests = load_tested_folder(tmp_path)
    assert plan_set.plans
    assert len(tests) == example.count("\ntest: ")
    for test in tests:
        assert run_test(plan_set, test).differences == ()


def test_the_page_shows_what_explain_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    section = PAGE.split("## Why did a user get nothing?")[1]
    campaign, events, told = re.findall(r"^```\w*\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    (tmp_path / "schema.yaml").write_text(EXAMPLES[0])
    (tmp_path / "campaign.yaml").write_text(campaign)
    (tmp_path / "events.jsonl").write_text(events)
    given = ["explain", "--events", f"{tmp_path}/events.jsonl", "--campaigns", str(tmp_path)]
    assert main([*given, "--campaign", "third-big-basket", "--event", "e2"]) == 0
    assert capsys.readouterr().out == told
    assert main([*given, "--campaign", "third-big-basket", "--event", "e3"]) == 0
    (quoted,) = re.findall(r"and of `e3` that `(.*?)`", section)
    assert f"  * {quoted}" in capsys.readouterr().out.splitlines()

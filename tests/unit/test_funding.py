"""Split funding as files say it: two payers, their shares exact, every mistake told where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from runners.ops.liability import worst_cases
from schemas.errors import CampaignFileError
from schemas.plans import decode_plan_set, encode_plan_set
from tests.support.campaigns import a_plan_set
from tests.support.product_run import run_product

FUNDED = "campaign: c\ntheme: t\ntrigger: {on: purchase}\ngrant: {points: 99}\n"
BY_TWO = "funding: [{partner: x, share: 0.4}, {partner: y, share: 0.6}]\n"
PARTNERS = "---\npartner: x\nlimits: [{amount: 500, unit: points}]\n---\npartner: y\n"


def charges(tmp_path: Path, text: str) -> list[tuple[str, tuple[int, int] | None, bool, int | None]]:
    plan_set = decode_plan_set(encode_plan_set(a_plan_set(tmp_path, text)))
    (gift,) = plan_set.plans[0].gifts
    return [(one.account, one.share, one.takes_odd, one.cost) for one in gift.charges]


def test_partners_pay_their_shares_and_the_rest_counts_whole(tmp_path: Path) -> None:
    assert charges(tmp_path, FUNDED + BY_TWO + PARTNERS) == [
        ("tenant", None, False, None),
        ("theme/t", None, False, None),
        ("partner/x", (2, 5), True, None),
        ("partner/y", (3, 5), False, None),
        ("campaign/c", None, False, None),
    ]


def test_the_campaigns_own_theme_can_pay(tmp_path: Path) -> None:
    text = FUNDED + "funding: [{theme: t, share: 0.333333}, {partner: x, share: 0.666667}]\n" + PARTNERS
    assert charges(tmp_path, text)[1:3] == [
        ("theme/t", (333_333, 1_000_000), True, None),
        ("partner/x", (666_667, 1_000_000), False, None),
    ]


def test_a_stated_cost_is_shared(tmp_path: Path) -> None:
    text = FUNDED + BY_TWO + "cost: {amount: 12, unit: USD}\n" + PARTNERS.replace("points", "USD")
    assert [charge[1:] for charge in charges(tmp_path, text)[2:4]] == [(None, False, 5), ((3, 5), False, None)]


def test_the_accounts_are_made_and_a_payer_that_has_nothing_left_stops_the_grants(tmp_path: Path) -> None:
    plan_set = a_plan_set(tmp_path, FUNDED + BY_TWO + PARTNERS)
    assert [spec.name for spec in plan_set.accounts] == ["tenant", "theme/t", "partner/x", "partner/y", "campaign/c"]
    events = [{"event_id": f"e{n}", "event_type": "purchase", "user_id": "u", "event_time": n} for n in range(14)]
    outcome = run_product(plan_set, events, {})
    assert [grant["amount"] for grant in outcome.grants] == [99] * 12
    assert [(one["account"], one["use"], one["cap"]) for one in outcome.denials] == [("partner/x", 480, 500)] * 2


def test_a_payers_cap_bounds_no_grant_by_itself(tmp_path: Path) -> None:
    text = FUNDED.replace("theme: t\n", "") + BY_TWO + "limits: [{amount: 2000}]\n" + PARTNERS
    found = worst_cases(a_plan_set(tmp_path, text))
    assert [(one.a_grant.amount, one.in_all.amount) for one in found.campaigns] == [(99, 2000)]
    assert [one.in_all.amount for one in found.totals] == [2000]


@pytest.mark.parametrize(
    ("funding", "more", "place", "message"),
    [
        ("[{partner: x, share: 1}]", "", "5:31", "a payer's share is above 0 and below 1"),
        ("[{partner: x, share: 0.4}]", "", "5:10", "names two who pay"),
        ("[{partner: x, share: 0.4}, {partner: x, share: 0.6}]", "", "5:10", "names two who pay"),
        ("[{partner: x, share: 0.4}, {partner: y, share: 0.5}]", "", "5:10", "add up to 1, not 0.9"),
        ("[{partner: x, share: 0.1234567}, {partner: y, share: 0.8765433}]", "", "5:31", "at most six decimals"),
        ("[{partner: x, theme: t, share: 0.4}, {partner: y, share: 0.6}]", "", "5:11", "who pays is one partner:"),
        ("[{partner: z, share: 0.4}, {partner: y, share: 0.6}]", "", "5:21", "there is no partner: z"),
        ("[{theme: u, share: 0.4}, {partner: y, share: 0.6}]", "", "5:19", "is the campaign's own (t), not u"),
        (
            "[{theme: t, share: 0.4}, {partner: y, share: 0.6}]",
            "---\ntheme: t\nlimits: [{amount: 5, unit: points, when_full: cut}]\n",
            "5:19",
            "only a part",
        ),
        (
            "[{partner: x, share: 0.4}, {partner: y, share: 0.6}]",
            "---\npartner: w\nlimits: [{amount: 5, unit: points, when_full: cut}]\n",
            "",
            "right is skip or close",
        ),
    ],
)
def test_a_mistake_is_told_where_it_stands(tmp_path: Path, funding: str, more: str, place: str, message: str) -> None:
    with pytest.raises(CampaignFileError) as error:
        a_plan_set(tmp_path, FUNDED + f"funding: {funding}\n" + PARTNERS + more)
    assert message in str(error.value) and f"campaigns.yaml:{place}" in str(error.value)

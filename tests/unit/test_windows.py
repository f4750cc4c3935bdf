"""Where windows begin: calendar in a zone, across daylight saving."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.engine.windows import window_end, window_start, windows_touched

# Days of 23 to 25 hours, half-hour shifts, and (Apia) a whole day that does not occur elsewhere in its history.
ZONES = ["UTC", "America/New_York", "Asia/Kolkata", "America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia"]


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("period", "zone", "time", "start"),
    [
        ("day", "UTC", "2017-03-12T23:59:59.999+00:00", "2017-03-12T00:00:00+00:00"),
        ("day", "America/New_York", "2017-03-12T04:59:59+00:00", "2017-03-11T00:00:00-05:00"),
        ("day", "America/New_York", "2017-03-13T03:59:59+00:00", "2017-03-12T00:00:00-05:00"),
        ("day", "America/New_York", "2017-03-13T04:00:00+00:00", "2017-03-13T00:00:00-04:00"),
        ("week", "UTC", "2017-01-01T12:00:00+00:00", "2016-12-26T00:00:00+00:00"),
        ("week", "America/New_York", "2017-01-02T04:59:59+00:00", "2016-12-26T00:00:00-05:00"),
        ("month", "America/New_York", "2017-02-01T04:59:59+00:00", "2017-01-01T00:00:00-05:00"),
        ("month", "America/New_York", "2017-11-30T12:00:00+00:00", "2017-11-01T00:00:00-04:00"),
        ("hour", "Asia/Kolkata", "2017-01-01T00:15:00+00:00", "2017-01-01T05:00:00+05:30"),
        # The first hour of this day does not occur: the day begins where the gap ends.
        ("day", "America/Sao_Paulo", "2017-10-15T12:00:00+00:00", "2017-10-15T03:00:00+00:00"),
        ("hour", "America/New_York", "2017-11-05T05:30:00+00:00", "2017-11-05T01:00:00-04:00"),
        ("hour", "America/New_York", "2017-11-05T06:30:00+00:00", "2017-11-05T01:00:00-05:00"),
    ],
)
def test_a_window_begins_at_the_first_local_instant(period: str, zone: str, time: str, start: str) -> None:
    assert window_start(period, zone)(ms(time)) == ms(start)


def test_a_lifetime_is_one_window() -> None:
    assert window_start("lifetime", "Asia/Tokyo")(ms("2017-01-01T00:00:00+00:00")) == 0
    assert window_end("lifetime", "UTC", 0) is None


@given(
    st.sampled_from(["day", "week", "month"]),
    st.sampled_from(ZONES),
    st.integers(ms("2016-01-01T00:00:00+00:00"), ms("2018-12-31T00:00:00+00:00")),
)
def test_windows_follow_each_other_without_gap_or_overlap(period: str, zone: str, time_ms: int) -> None:
    start_of = window_start(period, zone)
    start = start_of(time_ms)
    end = window_end(period, zone, start)
    assert end is not None and start <= time_ms < end
    assert start_of(start) == start and start_of(end) == end and start_of(end - 1) == start
    assert end - start <= timedelta(days=32).total_seconds() * 1000


@pytest.mark.parametrize("zone", [*ZONES, "Australia/Lord_Howe"])
@pytest.mark.parametrize("period", ["hour", "day", "week", "month"])
def test_as_many_windows_are_counted_as_there_are(period: str, zone: str) -> None:
    start_of = window_start(period, zone)
    for first in ("2017-01-01T00:00:00+00:00", "2017-03-12T06:59:59+00:00", "2017-10-28T15:00:00+00:00"):
        for days in (0.001, 1, 9, 45):
            start, end = ms(first), ms(first) + int(days * 86_400_000)
            there = len({start_of(time) for time in [*range(start, end, 900_000), end - 1]})
            counted = windows_touched(period, zone, start, end)
            assert there <= counted <= there + (period == "hour" and zone == "Australia/Lord_Howe") * 4


def test_spans_are_counted_from_their_origin() -> None:
    assert windows_touched("lifetime", "UTC", 0, 10**12) == 1
    assert windows_touched("span", "UTC", 5, 25, 10, 0) == 3
    assert windows_touched("span", "UTC", 5, 25, 10, 5) == 2
    assert windows_touched("span", "UTC", 3, 5, 10, 4) == 2

"""Where windows begin: calendar in a zone, across daylight saving."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.engine.windows import window_end, window_start

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

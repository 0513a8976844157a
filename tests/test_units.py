"""Durations and times as users write them."""

import pytest

from engine.units import duration_ns, timestamp_ns, utc_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100ms", 100_000_000),
        ("1s", 10**9),
        (" 5 m ", 300 * 10**9),
        (250, 250),
        ("1d", 86_400 * 10**9),
    ],
)
def test_durations(text, expected):
    assert duration_ns(text) == expected


@pytest.mark.parametrize("text", ["", "0s", "-1s", "1.5s", "1 week", 0, -5, None, True, 1.0])
def test_durations_refused(text):
    with pytest.raises(ValueError, match="every: expected a positive time"):
        duration_ns(text, "every")


def test_times():
    assert timestamp_ns("2024-08-08T23:54:15.030314Z") == 1_723_161_255_030_314_000
    assert timestamp_ns("2024-08-08T23:54:15") == 1_723_161_255 * 10**9
    assert timestamp_ns("2024-08-09T01:54:15+02:00") == 1_723_161_255 * 10**9
    assert timestamp_ns("1723161255030314667") == 1_723_161_255_030_314_667
    assert utc_text(1_723_161_255_030_314_667) == "2024-08-08T23:54:15.030314667Z"
    with pytest.raises(ValueError, match=r"data\.start: expected a time"):
        timestamp_ns("yesterday", "data.start")

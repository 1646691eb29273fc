import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage_sync.config.durations import LONGEST, check_schedule, duration_text, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10), ("30m", 1800), ("12h", 43_200), ("30d", 2_592_000), ("2w", 1_209_600), ("0d", 0), ("007s", 7)],
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "30", "d", "30 d", "-1d", "1.5h", "30D", "1d12h", "٣d", "1y", " 1d", "1d\n"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration; write a whole number and a unit"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["36526d", "999999999999w"])
def test_longer_than_any_history(text: str) -> None:
    with pytest.raises(ValueError, match=f"`{text}` is longer than 100 years"):
        parse_duration(text)


@given(st.integers(0, int(LONGEST.total_seconds())))
def test_written_durations_read_back(seconds: int) -> None:
    assert parse_duration(duration_text(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


def accepted(schedule: str) -> bool:
    try:
        check_schedule(schedule)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "almost"),
    [
        ("15m", "15"),
        ("1h", "0h"),
        ("0 6 * * *", "0 6 * * * *"),
        ("*/10 6-20 * * mon-fri", "*/10 6-24 * * mon-fri"),
        ("0,30 0 1 jan,jul 0", "0,30 0 1 jan,juli 0"),
        ("5-50/5 * 31 12 7", "5-50/5 * 31 12 8"),
        ("*/60 */24 */31 */12 */7", "*/61 */24 */31 */12 */7"),
        ("0 8-10/4 * * sat-sun", "0 8-10/4 * * sat-0"),
        ("5/55 * * * fri/2", "5/55 * * * fri/8"),
    ],
)
def test_schedules(text: str, almost: str) -> None:
    assert (accepted(text), accepted(almost)) == (True, False)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0m", "`0m` is no interval; it must be more than zero, like 15m"),
        ("often", "`often` is no duration; write a whole number and a unit, like 10s, 30m, 12h, 30d or 2w"),
        ("0 6 * *", "`0 6 * *` is neither an interval like 15m nor a cron line of five fields like `0 6 * * mon`"),
        ("60 * * * *", "`60` is no minute of a cron line (0 to 59)"),
        ("0 24 * * *", "`24` is no hour of a cron line (0 to 23)"),
        ("0 0 0 * *", "`0` is no day of the month of a cron line (1 to 31)"),
        ("0 0 * 13 *", "`13` is no month of a cron line (1 to 12)"),
        ("0 0 * * fri-mon", "`fri-mon` is no day of the week of a cron line (0 to 7)"),
        ("*/0 * * * *", "`*/0` is no minute of a cron line (0 to 59)"),
        ("*/90 * * * *", "`*/90` is no minute of a cron line (0 to 59)"),
        ("0 6 * * sat-SO", "`sat-SO` is no day of the week of a cron line (0 to 7)"),
        ("x * * * *", "`x` is no minute of a cron line (0 to 59)"),
    ],
)
def test_what_is_no_schedule(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}$"):
        check_schedule(text)

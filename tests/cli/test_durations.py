import pytest
import typer

from mesh.cli.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("15m", 900), (" 2H ", 7200), ("7d", 604_800), ("0", 0)],
)
def test_a_duration_is_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "-5m", "1.5h", "1 h", "1w", "9999999s"])
def test_what_is_no_duration_is_told_what_one_looks_like(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="write 90s, 15m, 2h or 7d"):
        parse_duration(text)

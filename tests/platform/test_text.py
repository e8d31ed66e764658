import pytest

from edgeface.platform.text import apart, scored


@pytest.mark.parametrize(
    ("value", "needed", "digits", "written"),
    [
        (24.4, 25.0, 1, ("24.4", "25.0")),
        (23.97, 24.0, 1, ("23.97", "24.00")),
        (0.468, 0.4699, 2, ("0.468", "0.470")),
        (0.76, 0.45, 2, ("0.76", "0.45")),
        (0.45, 0.45, 2, ("0.45", "0.45")),
    ],
)
def test_what_is_too_little_is_never_written_as_what_is_needed(
    value: float, needed: float, digits: int, written: tuple[str, str]
) -> None:
    assert apart(value, needed, digits) == written


def test_a_score_stands_with_what_it_needs() -> None:
    assert scored(0.7613, 0.4512) == "score 0.76 (needs 0.45)"

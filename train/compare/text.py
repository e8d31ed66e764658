"""Write numbers, lists and tables as a page in Markdown has them."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in [head, ["---"] * len(head), *rows])


def listed(parts: Iterable[str]) -> str:
    """One part or more: a, b and c."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def percent(share: float) -> str:
    """A share in %."""
    return f"{100 * share:.1f}"


def short(share: float) -> str:
    """A share in %, too, for rates of any size."""
    return f"{100 * share:.3g}"

"""A setting: ``events.strangers`` says whether the events of those who are not recognized are kept."""

from copied import Copy

FIELD = """    strangers: Annotated[bool, means("keep the events of those who are not recognized, too")] = True
"""


def apply(copy: Copy) -> None:
    copy.insert(
        "edgeface/config/schema.py",
        after='means("events that are kept at most; the oldest goes first", ge=0, le=10_000)] = 500\n',
        text=FIELD,
    )
    # The part "keeper" reads the whole section, so a reload heeds the setting.
    copy.insert(
        "edgeface/gallery/event_keeper.py",
        after='        wanted = [event for event in tick.events if event.withheld != "ignored"]\n',
        text="        wanted = [event for event in wanted if event.person_id or self._limits.strangers]\n",
    )

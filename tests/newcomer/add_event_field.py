"""An event field: ``waited``, the seconds from the first view of a face until the event."""

from copied import Copy

FIELD = """    waited: Annotated[
        float | UnsetType, Meta(description="seconds from the first view of the face until now", examples=[0.8])
    ] = UNSET
"""


def apply(copy: Copy) -> None:
    path = "edgeface/wire/events.py"
    copy.insert(path, after="    seconds: float | None = None\n", text="    waited: float | None = None\n")
    copy.insert(
        path,
        after='Meta(description="width, height in pixels", examples=[[640, 480]])]\n',
        text=FIELD,
    )
    copy.replace(path, '"seconds": 1}', '"seconds": 1, "waited": 1}')
    copy.insert(
        "edgeface/recognition/presence.py",
        after="            quality=sum(view.quality for view in views) / len(views),\n",
        text="            waited=moment.time - track.first_view,\n",
    )

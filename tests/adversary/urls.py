"""A camera's address with a secret in it, in the form of some maker or mistyped: nothing shows any of the secret."""

import re
from random import Random

from fixtures.secrets import FORMS, MISTAKES

from edgeface.cameras import create
from edgeface.config.schema import CameraSettings
from edgeface.config.sources import shown
from edgeface.errors import EdgefaceError

HOSTS = ("cam", "cam.lan:554", "192.168.1.20", "192.168.1.20:8554", "[fe80::1]", "[::1]:554")


def attack(dice: Random, folder: object) -> str:
    for _ in range(100):
        middle = "".join(dice.choice("QXZ019@/:?#;&=%_.\\ []\u00e9\t") for _ in range(dice.randint(0, 30)))
        form = dice.choice(FORMS + MISTAKES)
        if "{host}" not in form:  # what stands behind an @ is the host there
            middle = middle.replace("@", "")
        source = form.format(host=dice.choice(HOSTS), secret=f"{middle}Q")
        assert not re.search("[QXZ]", shown(source)), source
        try:  # a live camera is first opened when frames are asked of it
            create(CameraSettings(source=source)).close()
        except EdgefaceError as error:
            assert not re.search("[QXZ]", str(error)), source  # noqa: PT017
    return "hidden"

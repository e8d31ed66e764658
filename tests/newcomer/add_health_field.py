"""A health field: ``load``, how many processes want a processor."""

from copied import Copy

FIELD = """    load: Annotated[float, about("processes that want a processor, over a minute", 0.7, ge=0)]
"""


def apply(copy: Copy) -> None:
    path = "edgeface/health.py"
    copy.insert(path, after="    faces_seen: int = 0\n", text="    load: float = 0.0\n")
    copy.insert(
        path,
        after='about("processors in use since the last report; 1 is a whole one", 0.31, ge=0)]\n',
        text=FIELD,
    )
    copy.replace(path, '"cpu": 3}', '"cpu": 3, "load": 2}')
    path = "edgeface/daemon/health_reporter.py"
    copy.insert(path, after="            cpu=self._cpu,\n", text="            load=os.getloadavg()[0],\n")
    copy.insert(path, after="import math\n", text="import os\n")

"""A camera on the guest's own network, MJPEG over HTTP: pictures of a folder, somebody for some seconds, then nobody for 8.

Run in the guest, by the system's Python: ``camera.py FOLDER PORT SECONDS``.
"""

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

FPS = 5
NOBODY = 8 * FPS


class Camera(BaseHTTPRequestHandler):
    """Plays to whoever connects until they go."""

    def do_GET(self) -> None:
        faces, empty = sorted(FOLDER.glob("face-*.jpg")), (FOLDER / "nobody.jpg").read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for number in count():
            there = number % (VISIT + NOBODY) < VISIT
            data = faces[number % len(faces)].read_bytes() if there else empty
            self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data) + data + b"\r\n")
            time.sleep(1 / FPS)

    def log_message(self, *_: object) -> None:
        """Nothing."""


if __name__ == "__main__":
    FOLDER, VISIT = Path(sys.argv[1]), int(sys.argv[3]) * FPS
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Camera).serve_forever()

"""Imports a blueprint into a running Home Assistant as its frontend does; run by Home Assistant's own Python.

Usage: import_blueprint.py PORT TOKEN URL PATH
"""

import asyncio
import sys
from typing import Any

import aiohttp


async def main(port: str, token: str, url: str, path: str) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"http://127.0.0.1:{port}/api/websocket") as socket:
        await socket.receive_json()
        await socket.send_json({"type": "auth", "access_token": token})
        await socket.receive_json()

        async def call(number: int, **request: Any) -> Any:
            await socket.send_json({"id": number, **request})
            answer = await socket.receive_json()
            if not answer["success"]:
                sys.exit(str(answer["error"]))
            return answer["result"]

        found = await call(1, type="blueprint/import", url=url)
        if found["validation_errors"]:
            sys.exit(str(found["validation_errors"]))
        saved = {"domain": "automation", "path": path, "yaml": found["raw_data"], "source_url": url}
        await call(2, type="blueprint/save", **saved)


asyncio.run(main(*sys.argv[1:]))

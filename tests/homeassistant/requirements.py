"""What Home Assistant would install when it starts, for its default integrations and those named: one requirement a line."""

import json
import sys
from pathlib import Path

import homeassistant
from homeassistant import bootstrap

COMPONENTS = Path(homeassistant.__file__).parent / "components"

waiting = {*bootstrap.DEFAULT_INTEGRATIONS, *bootstrap.CORE_INTEGRATIONS, *bootstrap.LOGGING_AND_HTTP_DEPS_INTEGRATIONS}
waiting |= set(sys.argv[1:])
waiting.discard("sentry")  # only where it is configured
seen: set[str] = set()
found: set[str] = set()
while waiting - seen:
    name = (waiting - seen).pop()
    seen.add(name)
    manifest = COMPONENTS / name / "manifest.json"
    if manifest.exists():
        described = json.loads(manifest.read_text())
        waiting |= set(described.get("dependencies", []))
        found |= set(described.get("requirements", []))
print("\n".join(sorted(found)))

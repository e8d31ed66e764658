"""The Home Assistant app: what Supervisor reads of it, its options as settings, its start script under ingress's headers."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import cv2
import pytest
import yaml
from fixtures.broker import eventually, free_port
from fixtures.optional import needed
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeface.operations.context import Door
from edgeface.operations.registry import at

ROOT = Path(__file__).parent.parent.parent
APP = ROOT / "deploy/homeassistant-app"
sys.path.insert(0, str(APP / "edgeface/app"))

import options  # type: ignore[import-not-found]  # noqa: E402 (beside its script)

CONFIG = yaml.safe_load((APP / "edgeface/config.yaml").read_text())
OFFERED = {
    "host": "core-mosquitto",
    "port": "1883",
    "ssl": False,
    "username": "addons",
    "password": "sésame",
    "protocol": "3.1.1",
}
PREFIX = "/api/hassio_ingress/q5Zk_0-x"
INGRESS = {"X-Ingress-Path": PREFIX, "X-Remote-User-Id": "d1", "X-Remote-User-Name": "anna", "X-Forwarded-Host": "ha.lan:8123"}
ELEMENT = re.compile(
    r"(|bool|email|url|port|device(\(subsystem=[a-z]+\))?|(str|password|int)(\(\d*,\d*\))?|float(\([\d.]*,[\d.]*\))?"
    r"|match\(.*\)|list\(.+\))\??"
)
"""An option's type: supervisor/addons/options.py of home-assistant/supervisor, RE_SCHEMA_ELEMENT."""
DEFAULTS = {
    "boot": "auto",
    "hassio_role": "default",
    "ingress_port": 8099,
    "init": True,
    "panel_admin": True,
    "panel_icon": "mdi:puzzle",
    "stage": "stable",
    "startup": "application",
    "timeout": 10,
}
"""What the linter refuses as it is so anyway: src/config.schema.json of frenck/action-addon-linter; the others are false."""
KNOWN = {
    *("name", "version", "slug", "description", "arch", "startup", "ingress", "panel_icon", "panel_title", "services", "video"),
    *("backup_exclude", "options", "schema"),
}
"""Of the keys that it knows, those that are used here, each of its type."""


def of_type(kind: Any, value: Any) -> Any:
    """Whether Supervisor would take the value for the type, where it is not told by its pattern alone."""
    kind = kind.removesuffix("?")
    name, _, limits = kind.rstrip(")").partition("(")
    if name == "list":
        return value in limits.split("|")
    if name == "match":
        return re.match(limits, value) is not None
    if name == "float":
        low, high = map(float, limits.split(","))
        return low <= value <= high
    return isinstance(value, {"bool": bool, "str": str}[name])


def test_configuration_keeps_to_the_rules_of_supervisor_and_linter() -> None:
    assert set(CONFIG) <= KNOWN
    assert not [key for key, value in CONFIG.items() if value is False or DEFAULTS.get(key) == value]
    assert set(CONFIG["arch"]) <= {"aarch64", "amd64"}
    assert all(re.fullmatch("(mqtt|mysql):(provide|want|need)", service) for service in CONFIG["services"])
    assert re.fullmatch("[-_.A-Za-z0-9]+", CONFIG["slug"])
    for key, kind in CONFIG["schema"].items():
        each = kind[0] if isinstance(kind, list) else kind
        assert ELEMENT.fullmatch(each), key
        if each.endswith("?"):
            assert key not in CONFIG["options"]
        elif isinstance(kind, list):
            assert all(of_type(each, value) for value in CONFIG["options"][key])
        else:
            assert of_type(each, CONFIG["options"][key]), key
    assert set(CONFIG["options"]) <= set(CONFIG["schema"])
    assert CONFIG["version"] == needed(re.search(r'__version__ = "(.*)"', (ROOT / "edgeface/__init__.py").read_text()))[1]
    assert yaml.safe_load((APP / "repository.yaml").read_text())["name"]


@pytest.mark.parametrize("language", ["en", "de"])
def test_every_option_has_a_name_and_a_description(language: Any) -> None:
    told = yaml.safe_load((APP / f"edgeface/translations/{language}.yaml").read_text())["configuration"]
    assert list(told) == list(CONFIG["schema"])
    assert all(set(one) == {"name", "description"} and all(map(str.strip, one.values())) for one in told.values())


def test_documentation_has_every_option() -> None:
    page = (APP / "edgeface/DOCS.md").read_text()
    assert [key for key in CONFIG["schema"] if f"`{key}`" not in page] == []


def test_pictures_are_those_that_the_command_draws(tmp_path: Path) -> None:
    subprocess.run([sys.executable, APP / "pictures.py", tmp_path], check=True, timeout=60)
    for name, shape in (("icon.png", (128, 128, 4)), ("logo.png", (100, 400, 4))):
        drawn, kept = (cv2.imread(str(folder / name), cv2.IMREAD_UNCHANGED) for folder in (tmp_path, APP / "edgeface"))
        assert drawn.shape == shape
        assert cv2.norm(drawn, kept, cv2.NORM_INF) <= 2


def written(tmp_path: Path, offered: Any = None, **chosen: Any) -> Any:
    return tomllib.loads(options.to_toml(options.settings(CONFIG["options"] | chosen, offered, tmp_path)))


def check(cli: Any, tmp_path: Path, sections: Any) -> None:
    file = tmp_path / "edgeface.toml"
    file.write_text(options.to_toml(sections))
    (tmp_path / "mqtt-password").write_text("p\n")
    (tmp_path / "mqtt-password").chmod(0o600)
    cli("config", "check", file)


def test_options_become_settings_that_edgeface_takes(tmp_path: Path, cli: Any) -> None:
    every = {"mqtt_host": "lan", "mqtt_port": 1884, "mqtt_username": "u", "mqtt_password": "p", "commands": ["people"]}
    for chosen, offered in (({}, None), ({}, OFFERED), (every, OFFERED)):
        check(cli, tmp_path, options.settings(CONFIG["options"] | chosen, offered, tmp_path))


def test_every_command_over_mqtt_can_be_allowed() -> None:
    (kinds,) = CONFIG["schema"]["commands"]
    assert kinds.removeprefix("list(").removesuffix(")").split("|") == list(at(Door.MQTT))


def test_the_broker_is_the_one_that_is_offered_unless_another_is_named(tmp_path: Path) -> None:
    file = str(tmp_path / "mqtt-password")
    assert written(tmp_path)["mqtt"] == {"images": False, "frames": False}
    assert not written(tmp_path)["homeassistant"]["enabled"]
    offered = written(tmp_path, OFFERED)
    broker = {"host": "core-mosquitto", "port": 1883, "tls": False, "username": "addons", "password_file": file}
    assert offered["mqtt"] == broker | {"images": False, "frames": False}
    assert offered["homeassistant"]["enabled"]
    assert written(tmp_path, OFFERED, mqtt_host="lan")["mqtt"] == {"host": "lan", "port": 0, "images": False, "frames": False}
    assert options.password({"mqtt_host": "lan"}, OFFERED) == ""
    assert options.password({}, OFFERED) == "sésame"


@settings(max_examples=100)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_stays_what_it_is(text: Any) -> None:
    assert tomllib.loads(options.to_toml({"camera": {"source": text}})) == {"camera": {"source": text}}


class Supervisor(BaseHTTPRequestHandler):
    """Its interface, as far as the app asks it."""

    def do_GET(self) -> None:
        right = (self.path, self.headers["authorization"]) == ("/services/mqtt", "Bearer s3cret")
        self.send_response(200 if right else 401)
        self.end_headers()
        offered = vars(self.server)["offered"]
        self.wfile.write(json.dumps({"result": "ok", "data": offered}).encode() if right else b"{}")

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def supervisor(offered: Any) -> Iterator[Any]:
    server = HTTPServer(("127.0.0.1", 0), Supervisor)
    server.offered = offered  # type: ignore[attr-defined]  # for the handler alone
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class App:
    """The app's start script, as a process of its own and this user's."""

    def __init__(self, folder: Any, scene: Any, **changed: Any) -> None:
        self.port, self.data = free_port(), folder / "data"
        self.data.mkdir()
        chosen = CONFIG["options"] | {"camera": scene, "pictures": True, "unknown": True}
        (self.data / "options.json").write_text(json.dumps(chosen))
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("EDGEFACE_", "STATE_", "RUNTIME_"))},
            "PYTHONPATH": str(ROOT),
            "SUPERVISOR_TOKEN": "s3cret",
            "EDGEFACE_APP_DATA": str(self.data),
            "EDGEFACE_APP_PAGE": str(free_port()),
            "EDGEFACE_APP_INGRESS": f"127.0.0.1:{self.port}",
            "EDGEFACE_APP_TRUSTED": "127.0.0.1",
            **changed,
        }
        # Not as root: its user has no way to this clone's Python.
        command = [sys.executable, "-c", "import os, runpy, sys; sys.path.insert(0, sys.argv[1]); os.geteuid = lambda: 1; "]
        command[-1] += "runpy.run_path(sys.argv[1] + '/start.py', run_name='__main__')"
        self.process = subprocess.Popen([*command, APP / "edgeface/app"], env=environment, cwd=folder)
        assert eventually(lambda: self.process.poll() is None and self.ask("/")[0] == 200, 120)

    def ask(self, path: Any, method: Any = "GET", body: Any = None, **headers: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, INGRESS | {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        except OSError:
            return 0, {}, ""
        finally:
            connection.close()

    def close(self) -> Any:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, demo_photos: Any) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("app")
    with supervisor(OFFERED | {"host": "127.0.0.1", "port": free_port()}) as address:
        running = App(folder, f"folder:{demo_photos}", EDGEFACE_APP_SUPERVISOR=address)
        yield running
        assert running.close() == 0


def test_every_address_of_the_page_is_below_the_path_of_ingress(app: Any) -> None:
    for view in ("/", "/people", "/visits", "/unknown", "/enroll", "/health"):
        status, headers, page = app.ask(view)
        assert status == 200
        assert f'data-root="{PREFIX}"' in page
        assert "/~" not in page
        for address in re.findall(r'(?:href|src|action|data-refresh)="(/[^"]*)"', page):
            assert address.startswith(f"{PREFIX}/"), address
        assert "frame-ancestors 'self'" in headers["content-security-policy"]
        assert "x-frame-options" not in headers
        assert "set-cookie" not in headers
    assert app.ask("/static/page.js")[0] == 200


def test_the_page_s_stream_comes_line_by_line(app: Any) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=60)
    connection.request("GET", "/stream", headers=INGRESS)
    answer = connection.getresponse()
    assert answer.headers.get_content_type() == "text/event-stream"
    assert answer.readline()
    connection.close()


def test_the_daemon_has_the_broker_and_the_password_that_are_offered(app: Any) -> None:
    told = tomllib.loads((app.data / "edgeface/edgeface.toml").read_text())
    assert told["mqtt"]["username"] == "addons"
    assert (app.data / "edgeface/mqtt-password").read_text() == "sésame\n"
    assert all((app.data / "edgeface" / name).stat().st_mode & 0o077 == 0 for name in ("edgeface.toml", "mqtt-password"))


def test_a_change_is_taken_from_home_assistant_s_own_page_alone(app: Any) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.lan:8123"}, {"Origin": "null"}):
        assert app.ask("/signout", "POST", "", **form, **headers)[0] == 403
    for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://ha.lan:8123"}):
        assert app.ask("/signout", "POST", "", **form, **headers)[0] == 200  # our session ends
        assert app.ask("/people")[0] == 200  # and another begins


def test_nobody_but_ingress_is_answered(app: Any) -> None:
    for wrong in (
        {"X-Ingress-Path": ""},
        {"X-Ingress-Path": '"><script>'},
        {"X-Ingress-Path": "//evil.lan"},
        {"X-Remote-User-Id": ""},
    ):
        assert app.ask("/", **wrong)[0] == 403
    assert app.ask("/", "POST", "x", Content_Length="99999999999")[0] == 413
    elsewhere = app.port, "127.0.0.2"
    connection = http.client.HTTPConnection("127.0.0.1", elsewhere[0], source_address=(elsewhere[1], 0), timeout=60)
    connection.request("GET", "/", headers=INGRESS)
    assert connection.getresponse().status == 403
    connection.close()


def test_the_archive_has_all_that_its_image_is_built_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    wheel = tmp_path / "edgeface-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"")
    archives = [tmp_path / "one.tar.gz", tmp_path / "two.tar.gz"]
    for archive in archives:
        subprocess.run([sys.executable, APP / "build", "--wheel", wheel, "--out", archive], check=True, timeout=60)
    assert archives[0].read_bytes() == archives[1].read_bytes()
    with tarfile.open(archives[0]) as packed:
        names = {name.removeprefix("edgeface-homeassistant-app/") for name in packed.getnames()}
    assert {"repository.yaml", "README.md", f"edgeface/{wheel.name}"} <= names
    files = (
        "config.yaml",
        "Dockerfile",
        "DOCS.md",
        "CHANGELOG.md",
        "icon.png",
        "logo.png",
        "translations/en.yaml",
        "app/start.py",
    )
    assert {f"edgeface/{name}" for name in files} <= names
    copied = re.findall(r"^COPY (?!--from)(\S+) ", (APP / "edgeface/Dockerfile").read_text(), re.M)
    assert {f"edgeface/{name}".removesuffix("/.") for name in copied} <= names
    for module in re.findall(r"(?:constraints|deb)/\w+\.txt", (ROOT / "deploy/program.py").read_text()):
        assert f"edgeface/deploy/{module}" in names

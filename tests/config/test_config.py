import re
import socket
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from fixtures.broker import Broker, broker, needs_broker
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from edgeface.config import load as config_load
from edgeface.config.load import default_toml, load, settings
from edgeface.config.schema import Config
from edgeface.errors import ConfigError, SettingsError
from edgeface.mqtt import dialogue as mqtt_dialogue

__all__ = ["broker"]


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("EDGEFACE_CONFIG", raising=False)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setattr(config_load, "SYSTEM_FILE", tmp_path / "etc" / "edgeface.toml")


def written(folder: Path, text: str) -> Path:
    file = folder / "edgeface.toml"
    file.write_text(text, encoding="utf-8")
    return file


def refusal(file: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(file)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(str(file))
    return message


def test_without_a_file_every_setting_has_its_default() -> None:
    assert load() == Config()
    assert Config().camera.fps == 10.0
    assert Config().mqtt.host == ""


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    found = load(written(tmp_path, '[device]\nid = "door"\n[camera]\nfps = 5\n'))
    assert (found.device.id, found.camera.fps) == ("door", 5.0)
    assert found.camera.source == Config().camera.source
    assert found.matching == Config().matching


def test_the_files_are_tried_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config_load.SYSTEM_FILE.parent.mkdir()
    config_load.SYSTEM_FILE.write_text('[device]\nid = "system"\n')
    assert load().device.id == "system"
    named = tmp_path / "named.toml"
    named.write_text('[device]\nid = "named"\n')
    monkeypatch.setenv("EDGEFACE_CONFIG", str(named))
    assert load().device.id == "named"
    assert load(written(tmp_path, '[device]\nid = "given"\n')).device.id == "given"


def test_a_named_file_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEFACE_CONFIG", str(tmp_path / "absent.toml"))
    with pytest.raises(ConfigError, match=r"absent\.toml: No such file"):
        load()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[camera]\nspeed = 1\n", r"\[camera\]: unknown setting `speed`"),
        ("[kitchen]\n", "unknown setting `kitchen`"),
        ("loose = 1\n", "unknown setting `loose`"),
        ("camera = 3\n", r"\[camera\]: it is a section"),
        ("[[camera]]\nfps = 1\n", r"\[camera\]: it is a section"),
        ('[camera]\nfps = "ten"\n', r"\[camera\.fps\]: expected a number, got a text"),
        ("[camera]\nwidth = 640.5\n", r"\[camera\.width\]: expected a whole number, got a number"),
        ("[presence]\nmin_votes = true\n", r"\[presence\.min_votes\]: expected a whole number, got true or false"),
        ("[mqtt]\ntls = 1\n", r"\[mqtt\.tls\]: expected true or false, got a whole number"),
        ("[device]\nid = 2020-01-01\n", r"\[device\.id\]: expected a text, got a date"),
        ("[mqtt]\nport = 65536\n", r"\[mqtt\.port\]: .*65535"),
        ("[camera]\nfps = 0\n", r"\[camera\.fps\]: .*> 0"),
        ("[presence]\nleft_after = inf\n", r"\[presence\.left_after\]: .*86400"),
        ('[mqtt]\nbase = "a/+/b"\n', r"\[mqtt\.base\]: it needs a topic without"),
        ('[commands]\nallow = ["steal it"]\n', r"\[commands\.allow.*\]: it needs letters, digits, - and _"),
        ("[camera]\n[[cameras]]\n", r"two cameras are called camera; each of \[camera\] and \[\[cameras\]\] needs a name"),
        ('[camera]\n[[cameras]]\nnam = "b"\n', r"\[cameras\[0\]\]: unknown setting `nam`, did you mean `name`\?"),
        ('[camera]\n[[cameras]]\nname = "b"\nrotate = 91\n', r"\[cameras\[0\]\.rotate\]: .*one of 0, 90, 180, 270"),
        ('[camera]\n[[cameras]]\nname = "a b"\n', r"\[cameras\[0\]\.name\]: it needs letters, digits, - and _"),
        ('[camera]\n[cameras]\nname = "b"\n', r"\[cameras\]: each is a section: a line \[\[cameras\]\]"),
        ('[[cameras]]\nname = "b"\n', r"\[\[cameras\]\] are further cameras: the first one is \[camera\]"),
        ('[liveness]\nmode = "on"\n', r"\[liveness\.mode\]: 'on' is not one of off, report, refuse;"),
        ('[homeassistant]\nprefix = ""\n', r"\[homeassistant\.prefix\]: it needs a topic"),
        ('[sync]\ntopic = "//"\n', r"\[sync\.topic\]: it needs a topic .* more than slashes"),
        ('[mqtt]\nbase = "a\\nb"\n', r"\[mqtt\.base\]: it needs a topic without"),
        ('[mqtt]\nbase = "$SYS/broker"\n', r"\[mqtt\.base\]: it needs a topic .* does not begin with \$"),
        ('[mqtt]\nbase = "/$SYS"\n', r"\[mqtt\.base\]: it needs a topic"),
        ('[mqtt]\nhost = "a\\u0000"\n', r"\[mqtt\]: host is no name and no address"),
        ('[mqtt]\nhost = "my broker"\n', r"\[mqtt\]: host is no name and no address"),
        ('[mqtt]\nhost = "192.168.1..5"\n', r"\[mqtt\]: host is no name and no address"),
        ('[mqtt]\npassword_file = "a\\nb"\n', r"\[mqtt\.password_file\]: it may hold no control characters"),
        ('[camera]\nsource = "v4l2:/dev/\\u0000"\n', r"\[camera\.source\]: it may hold no control characters"),
        ('[metrics]\naddress = "127.0.0.1:9100"\n', r"\[metrics\]: address is no name and no address"),
        ('[web]\naddress = "http://here"\n', r"\[web\]: address is no name and no address"),
        ('[web]\nhosts = ["door.lan:8480"]\n', r"\[web\]: hosts needs names"),
        ("[camera]\nwidth = 3840\nheight = 2160\n", r"\[camera\]: width x height is 8294400 pixels, max_pixels is 5100000"),
        ('[device]\nid = "front door"\n', r"\[device\.id\]: it needs letters, digits, - and _"),
        ('[device]\nid = ""\n', r"\[device\.id\]: it needs letters, digits, - and _"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    assert re.search(told, refusal(written(tmp_path, text)))


def test_every_fault_is_told_at_once_and_what_may_be_meant(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        '[camera]\nsorce = "picamera"\nfps = "ten"\nwidth = 3840\nheight = 2160\n[mqtt]\nhost = 5\n'
        "[detectr]\n[web]\nport = 0\n",
    )
    with pytest.raises(SettingsError) as caught:
        load(file)
    assert caught.value.faults == [
        f"{file}: [camera]: unknown setting `sorce`, did you mean `source`?",
        f"{file}: [camera.fps]: expected a number, got a text",
        f"{file}: [mqtt.host]: expected a text, got a whole number",
        f"{file}: unknown setting `detectr`, did you mean `detector`?",
        f"{file}: [web.port]: Expected `int` >= 1; see edgeface config default",
    ]
    assert "`source`?; [camera.fps]" in refusal(file)


@pytest.mark.parametrize("setting", ["camera.fps", "detector.min_quality", "matching.target_fpir", "presence.left_after"])
def test_not_a_number_is_no_number(tmp_path: Path, setting: str) -> None:
    section, _, name = setting.partition(".")
    assert setting in refusal(written(tmp_path, f"[{section}]\n{name} = nan\n"))


@pytest.mark.parametrize("setting", ["device.id", "camera.name"])
def test_a_line_break_is_no_part_of_a_name_used_in_topics(tmp_path: Path, setting: str) -> None:
    section, _, name = setting.partition(".")
    assert setting in refusal(written(tmp_path, f'[{section}]\n{name} = "door\\n"\n'))


@pytest.mark.parametrize(
    "text",
    ["[camera\n", "a = \n", "a = 1\na = 2\n", "\x00", '"a\\nb" = 1\n', f"a = {'[' * 5000}", f"a = {'9' * 5000}"],
    ids=["open bracket", "no value", "twice", "control", "line break in a key", "deep", "long number"],
)
def test_what_is_no_toml_of_ours_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    refusal(written(tmp_path, text))


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "edgeface.toml"
    file.write_bytes(b"[device]\nid = '\xff'\n")
    assert "not valid TOML" in refusal(file)


def test_a_byte_order_mark_is_no_part_of_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "edgeface.toml"
    file.write_bytes(b'\xef\xbb\xbf[device]\r\nid = "door"\r\n')
    assert load(file).device.id == "door"
    file.write_bytes('[device]\nid = "door"\n'.encode("utf-16"))
    assert "not UTF-8" in refusal(file)


def test_settings_without_an_end_are_refused() -> None:
    assert "larger than" in refusal(Path("/dev/zero"))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert "directory" in refusal(tmp_path)


def test_settings_tell_where_each_value_comes_from(tmp_path: Path) -> None:
    file = written(tmp_path, '[camera]\nfps = 10\nname = "front"\n')
    rows = {(row.section, row.name): row for row in settings(file)}
    assert rows["camera", "fps"].origin == str(file)
    assert (rows["camera", "name"].value, rows["camera", "name"].origin) == ("front", str(file))
    assert (rows["camera", "width"].value, rows["camera", "width"].origin) == (640, "default")
    assert {row.origin for row in settings()} == {"default"}
    assert "frames a second" in rows["camera", "fps"].description


def test_settings_refuse_what_load_refuses(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        settings(written(tmp_path, "camera = 3\n"))


def test_the_default_file_changes_nothing(tmp_path: Path) -> None:
    assert load(written(tmp_path, default_toml())) == Config()


def test_the_default_file_uncommented_states_the_defaults(tmp_path: Path) -> None:
    text = re.sub(r"^#(?=\w)", "", default_toml(), flags=re.MULTILINE)
    file = written(tmp_path, text)
    assert load(file) == Config()
    assert {row.origin for row in settings(file)} == {str(file)}


def test_the_gallery_lies_where_it_is_told_or_in_the_state_folder_or_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Config().gallery_path.name == "gallery.db"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert Config().gallery_path == tmp_path / "data" / "edgeface" / "gallery.db"
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/edgeface:/var/lib/other")
    assert Config().gallery_path == Path("/var/lib/edgeface/gallery.db")
    monkeypatch.setenv("HOME", "/home/anna")
    assert load(written(tmp_path, '[gallery]\npath = "~/faces.db"\n')).gallery_path == Path("/home/anna/faces.db")


def test_the_home_of_nobody_is_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        _ = load(written(tmp_path, '[gallery]\npath = "~nobody-of-that-name/faces.db"\n')).gallery_path


def test_topics_start_with_the_base_or_the_device(tmp_path: Path) -> None:
    assert load(written(tmp_path, '[device]\nid = "door"\n')).base == "edgeface/door"
    assert load(written(tmp_path, '[mqtt]\nbase = "/home/door/"\n')).base == "home/door"


NAMES = sorted({row.name for row in settings()} | {row.section for row in settings()} | {"speed", "a.b", '"é"'})
VALUES = [
    "0",
    "-1",
    "1.5",
    "1e9",
    "true",
    '""',
    '"x"',
    "[]",
    "{}",
    "07:32:00",
    "1979-05-27",
    "'''a\nb'''",
    '"\\ud800"',
    "1e400",
    "]",
]
LINES = st.one_of(
    st.sampled_from(NAMES).map("[{}]".format),
    st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)).map(" = ".join),
    st.text(max_size=20),
)


@st.composite
def mangled(draw: DrawFn) -> bytes:
    data = bytearray(re.sub(r"^#(?=\w)", "", default_toml(), flags=re.MULTILINE).encode())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data) - 1))
        data[at : at + draw(st.integers(0, 6))] = draw(st.binary(max_size=6))
    return bytes(data)


@given(data=st.binary() | mangled())
def test_any_bytes_give_a_config_or_one_line(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "bytes.toml"
    file.write_bytes(data)
    try:
        assert isinstance(load(file), Config)
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017


@given(text=st.lists(LINES, max_size=8).map("\n".join))
def test_any_text_gives_a_config_or_one_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        assert isinstance(load(file), Config)
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017


TEXTS = [
    *("camera.source", "gallery.key_file", "mqtt.host", "mqtt.username", "mqtt.password_file", "mqtt.ca_file"),
    *("mqtt.cert_file", "mqtt.key_file", "mqtt.base", "sync.topic", "sync.key_file", "homeassistant.prefix"),
    *("metrics.address", "web.address", "web.tls_cert", "web.tls_key", "web.hosts"),
]
PIECES = st.text(
    st.sampled_from("a1é/.:$+# @-_%[]\x00\n\x7f\x85\ufffe") | st.characters(exclude_categories=["Cs"]), max_size=12
)


@given(setting=st.sampled_from(TEXTS), text=PIECES)
def test_a_text_is_refused_or_can_be_used(tmp_path_factory: pytest.TempPathFactory, setting: str, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "text.toml"
    section, _, name = setting.partition(".")
    value = msgspec.json.encode([text] if name == "hosts" else text).decode().replace("\x7f", "\\u007f")
    more = {"username": "", "cert_file": 'tls = true\nkey_file = "k"\n', "key_file": 'tls = true\ncert_file = "c"\n'}
    more |= {"password_file": 'username = "u"\n'}
    file.write_text(f"[{section}]\n{name} = {value}\n" + (more.get(name, "") if section == "mqtt" else ""), encoding="utf-8")
    try:
        found = load(file)
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
        return
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", text)
    if name in ("base", "topic", "prefix"):
        assert not re.search(r"^/*\$|[+#]", text)
        assert found.sync.topic.strip("/")
    elif name in ("host", "address", "hosts"):
        with suppress(socket.gaierror):
            socket.getaddrinfo(text, 1, flags=socket.AI_NUMERICHOST)
    else:
        assert Path(text).exists() in (True, False)


@needs_broker
@given(base=PIECES)
@settings_of_hypothesis(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_broker_takes_every_topic_that_is_taken_here(broker: Broker, base: str) -> None:
    try:
        wanted = msgspec.convert({"mqtt": broker.settings(base=base)}, Config)
    except msgspec.ValidationError:
        return
    with mqtt_dialogue.Dialogue(wanted) as dialogue:
        assert dialogue.collect() == []


def test_every_fault_of_a_further_camera_is_told(tmp_path: Path) -> None:
    file = written(tmp_path, '[camera]\n[[cameras]]\nname = "b"\n[[cameras]]\nname = "c"\nfps = 0\nsorce = "picamera"\n')
    with pytest.raises(SettingsError) as caught:
        load(file)
    assert caught.value.faults == [
        f"{file}: [cameras[1].fps]: Expected `float` > 0.0",
        f"{file}: [cameras[1]]: unknown setting `sorce`, did you mean `source`?; see edgeface config default",
    ]


def test_each_further_camera_is_a_section_of_its_own_with_passwords_hidden(tmp_path: Path) -> None:
    file = written(tmp_path, '[camera]\n[[cameras]]\nname = "garden"\nsource = "rtsp://anna:secret@garden.lan/low"\n')
    rows = {(row.section, row.name): row for row in settings(file)}
    assert rows["cameras.garden", "source"].value == "rtsp://***@garden.lan/***"
    assert rows["cameras.garden", "source"].origin == str(file)
    assert rows["cameras.garden", "fps"].origin == "default"
    config = load(file)
    assert [one.name for one in config.every_camera] == ["camera", "garden"]
    assert config.of_camera("garden").every_camera == config.cameras
    assert config.of_camera(None) == load(written(tmp_path, ""))
    with pytest.raises(ConfigError, match="there is no camera 'attic'; there is camera, garden"):
        config.of_camera("attic")

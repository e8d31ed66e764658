"""What edgeface says in other languages than English: every text, whole, with its fields."""

import ast
import importlib.util
import math
import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest
from fixtures.publishing import event

from edgeface.config import schema
from edgeface.enrollment.guidance import Hint
from edgeface.mqtt import homeassistant
from edgeface.mqtt.trackers import describe_person
from edgeface.platform.translation import ENGLISH, FOLDER, LANGUAGES, translation
from edgeface.types import EventType, Reason
from edgeface.web.language import SCRIPT_TEXTS
from edgeface.wire.doubt import Doubt, words
from edgeface.wire.events import event_payload
from edgeface.wire.messages import ADVICE, MESSAGES, said
from edgeface.wire.posts import Message, for_ntfy

ROOT = Path(__file__).parent.parent
OTHERS = LANGUAGES[1:]
NAMES = {"p_A": "Anna", "p_B": "Bert"}
UNTRANSLATED = {"MQTT", "00", "06", "12", "18", "24"}
"""What stands in templates as it is in every language."""


def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("translations", ROOT / "deploy/translations.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


translations = tool()


def catalogue(name: str) -> Path:
    return FOLDER / name / "LC_MESSAGES/edgeface.po"


# The catalogues


@pytest.mark.parametrize("name", OTHERS)
def test_every_text_is_translated_with_its_fields(name: str) -> None:
    assert list(translations.faults(name, translations.collect(), translations.read_po(catalogue(name)))) == []


@pytest.mark.parametrize("name", OTHERS)
def test_catalogues_are_written_and_compiled_by_the_tool(name: str, tmp_path: Path) -> None:
    wanted, given = translations.collect(), translations.read_po(catalogue(name))
    for english, text in wanted.items():
        text.forms = given[english].forms
    translations.write_po(tmp_path / "edgeface.po", name, wanted)
    translations.write_mo(tmp_path / "edgeface.mo", name, wanted)
    for suffix in (".po", ".mo"):
        written = (tmp_path / "edgeface").with_suffix(suffix).read_bytes()
        assert written == catalogue(name).with_suffix(suffix).read_bytes(), "python deploy/translations.py"


def test_a_text_that_is_missing_empty_or_changed_is_a_fault() -> None:
    text = translations.Text
    wanted = {one: text(one) for one in ("Hello", "{name} is there", "%(count)s left", "Open <a>it</a>")}
    wanted["{count} view"] = text("{count} view", "{count} views")
    given = {
        "{name} is there": text("{name} is there", forms=["ist da"]),
        "%(count)s left": text("%(count)s left", forms=["%(cuonto)s übrig"]),
        "Open <a>it</a>": text("Open <a>it</a>", forms=['<a onclick="x">Öffnen</a>']),
        "{count} view": text("{count} view", "{count} views", forms=["{count} Aufnahme", ""]),
        "gone": text("gone", forms=["weg"]),
    }
    found = sorted(line.removeprefix("de: ").partition(":")[0] for line in translations.faults("de", wanted, given))
    assert found == [
        "not translated",
        "not translated",
        "other HTML than 'Open <a>it</a>'",
        "other fields than '%(count)s left'",
        "other fields than '{name} is there'",
        "said nowhere",
    ]


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("en", {0: "0 views", 1: "1 view", 2: "2 views", 0.5: "0.5 views", 1000: "1,000 views"}),
        ("de", {0: "0 Aufnahmen", 1: "1 Aufnahme", 2: "2 Aufnahmen", 0.5: "0,5 Aufnahmen", 1000: "1.000 Aufnahmen"}),
        ("fr", {0: "0 vue", 1: "1 vue", 2: "2 vues", 1000: "1\u202f000 vues"}),
        ("es", {0: "0 tomas", 1: "1 toma", 2: "2 tomas"}),
        ("nl", {0: "0 opnames", 1: "1 opname", 2: "2 opnames"}),
    ],
)
def test_each_language_counts_by_its_own_rule(name: str, counts: dict[float, str]) -> None:
    language = translation(name)
    one, many = "%(count)s view", "%(count)s views"
    for count, expected in counts.items():
        whole = int(count) if count == int(count) else 2
        assert language.catalogue.ngettext(one, many, whole) % {"count": language.number(count)} == expected
    days = [language.say_count("{count} day", "{count} days", count) for count in (1, 2, 1.5)]
    assert len({day.split()[1] for day in days}) == 2


# What is said


def unwrapped(file: Path) -> Iterator[str]:
    """The words of a template that stand outside of what is translated."""

    class Words(HTMLParser):
        def handle_data(self, data: str) -> None:
            found.append(data)

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend(value or "" for name, value in attrs if name in ("alt", "title", "placeholder", "aria-label"))

    found: list[str] = []
    text = re.sub(
        r"{% trans.*?{% endtrans %}|{% block width %}.*?{% endblock %}|{{.*?}}|{%.*?%}", "", file.read_text(), flags=re.DOTALL
    )
    Words().feed(text)
    return (word for piece in found for word in re.findall(r"[^\W_]{2,}", piece) if word not in UNTRANSLATED)


def test_no_template_has_words_that_are_not_translated() -> None:
    pages = sorted((ROOT / "edgeface/web/pages").glob("*.html"))
    assert {page.name: words for page in pages if (words := list(unwrapped(page)))} == {}


def test_words_outside_of_what_is_translated_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<p class="soft">{{ _("Fine") }} but {% trans %}not <b>this</b>{% endtrans %}<img alt="nor that"></p>')
    assert list(unwrapped(page)) == ["but", "nor", "that"]


def test_templates_quote_no_english_outside_of_what_is_translated() -> None:
    """As in ``{{ "good" if ... else "bad one" }}``: two words and more in quotes are a text."""
    for page in (ROOT / "edgeface/web/pages").glob("*.html"):
        for code in re.findall(r"{{.*?}}|{%.*?%}", page.read_text(), flags=re.DOTALL):
            bare = re.sub(r"\b(?:ngettext|_)\((?:\"[^\"]*\"(?:, )?)+|form=\"[^\"]*\"", "", code)
            texts = [text for text in re.findall(r'"([^"]*)"', bare) if re.match(r"[A-Za-z\u2019]+ [a-z]+", text)]
            assert texts == [], page.name


def told_in_english(source: str) -> list[str]:
    """The words that a view tells a browser as they stand in the code: notes, and fields ``text``."""
    told: list[ast.expr] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "redirect":
            told += node.args[1:2]
        if isinstance(node, ast.Dict):
            told += [value for key, value in zip(node.keys, node.values, strict=True) if getattr(key, "value", "") == "text"]
    texts = [ast.unparse(one) for one in told if isinstance(one, ast.Constant | ast.JoinedStr)]
    return [text for text in texts if re.search(r"[A-Za-z]{2,} ", re.sub(r"{.*?}", "", text))]


def test_views_tell_nothing_that_is_not_translated() -> None:
    assert told_in_english('context.redirect("/", f"{name} is gone", good=False); x = {"text": _("Fine")}') == [
        "f'{name} is gone'"
    ]
    assert told_in_english('x = {"ok": False, "text": "Not so"}') == ["'Not so'"]
    for file in (ROOT / "edgeface/web").glob("*.py"):
        assert told_in_english(file.read_text()) == [], file.name


def test_scripts_say_the_texts_that_the_page_hands_to_them() -> None:
    scripts = "".join(file.read_text() for file in (ROOT / "edgeface/web/static").glob("*.js"))
    assert set(re.findall(r'\b_\("([^"]*)"', scripts)) == set(SCRIPT_TEXTS)
    sentences = re.findall(r'(?<!_\()"([A-Z][a-z\u2019]+[ .…:][^"]*|[A-Z][a-z]+)"', re.sub(r"//.*", "", scripts))
    assert sentences == []


def skeletons() -> Iterator[str]:
    """Yield each text of the code, with NUL for its fields, and without its advice for the command line."""
    for file in (ROOT / "edgeface").rglob("*.py"):
        for node in [] if file.name == "messages.py" else ast.walk(ast.parse(file.read_text())):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            texts = [part.value if isinstance(part, ast.Constant) else "\0" for part in parts]
            if all(isinstance(text, str) for text in texts) and isinstance(node, ast.JoinedStr | ast.Constant):
                whole = ADVICE.sub("", "".join(map(str, texts)))
                yield re.sub(r"\{[^{}]*\}", "\0", whole)


def fits(text: str, form: str) -> bool:
    """Whether a text of the code is ``form`` once its fields are filled in."""
    first, *rest = text.split("\0")
    if not rest or not form.startswith(first):
        return text == form
    at = len(first)
    for piece in rest[:-1]:
        at = form.find(piece, at) + len(piece)
        if at < len(piece):
            return False
    return form.endswith(rest[-1]) and len(form) - len(rest[-1]) >= at


def unsaid(messages: Iterable[str]) -> set[str]:
    """The messages that are no text of the code of which a third at least stands in the message itself."""
    least = {one: len(re.sub(r"\{\w+\}", "", one)) / 3 for one in messages}
    forms = {form: one for one in messages for form in (one, ADVICE.sub("", one), f"photo: {one}")}
    for text in set(skeletons()):
        own = len(text.replace("\0", ""))
        for form in [form for form, one in forms.items() if own >= least[one] and fits(text, form)]:
            least[forms[form]] = math.inf
    return {one for one, needed in least.items() if needed < math.inf}


def test_every_message_is_still_said_by_some_part() -> None:
    strange = {"{name} fell into the well", "the face is too far away: {pixels} pixels"}
    assert unsaid({*MESSAGES, *strange}) == strange


def test_a_message_is_said_in_another_language_with_its_fields() -> None:
    german = translation("de")
    assert said("'Anna' is already enrolled", german) == "'Anna' ist schon erfasst"
    lost = "camera front is lost: no frame for 7 s"
    assert said(lost, german) == "die Kamera front ist ausgefallen: seit 7 s kein Bild"
    assert (
        said("no usable view within 9 s; last: come closer", german) == "keine brauchbare Aufnahme in 9 s; zuletzt: komm näher"
    )
    assert said("no event 'x' is kept; see edgeface events list", german) == "das Ereignis 'x' ist nicht aufbewahrt"
    assert said("no event 'x' is kept; see edgeface events list", ENGLISH) == "no event 'x' is kept; see edgeface events list"
    for other in ("", "Connection refused", "'come closer' is already enrolled"[1:], "x" * 100_000, "{name} {0} %s"):
        assert said(other, ENGLISH) == other
    assert said("come closer is already enrolled", german) == "come closer ist schon erfasst"  # a name is no text of ours
    for hostile in ("Connection refused", "x" * 100_000, "{name} {0} %s", "{reason} is already enrolled"):
        assert said(hostile, german).startswith(hostile[:8])


def test_messages_within_a_message_are_said_too() -> None:
    german = translation("de")
    moved = "'A; B' was merged into Anna has 3 views; Anna has 9 views"
    assert said("Ann is merged into Anna; Anna has 9 views", german) == "Ann ist mit Anna zusammengeführt; Anna hat 9 Aufnahmen"
    assert said(moved, german).endswith("; Anna hat 9 Aufnahmen")
    undone = "undone: 2 views of Ann moved to Anna; 1 had been changed since"
    assert said(undone, german) == (
        "rückgängig gemacht: 2 Aufnahmen von Ann zu Anna verschoben; 1 waren seither geändert worden"
    )
    unlike = "Ann and Anna do not look alike, score 0.10 (needs 0.45); force merges them anyway"
    assert said(unlike, german) == "Ann und Anna sehen sich nicht ähnlich, Wert 0.10 (nötig sind 0.45)"
    assert said("garden: no frame for 6 s", german) == "garden: seit 6 s kein Bild"


@pytest.mark.parametrize("name", OTHERS)
def test_every_instruction_of_an_enrollment_is_said(name: str) -> None:
    say = translation(name).say
    assert [hint for hint in Hint if say(hint.words) == hint.words] == []


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_said_with_its_cure(name: str, reason: Reason) -> None:
    for flaw in (None, *list(Reason)[:6]):
        doubt = Doubt(
            reason=reason,
            person_id="p_A",
            other_id="p_B",
            score=0.5,
            threshold=0.625,
            good=2,
            seen=3,
            needed=4,
            pixels=19.6,
            flaw=flaw,
        )
        ours, english = words(doubt, NAMES, translation(name)), words(doubt, NAMES)
        assert all(one != other for one, other in zip(ours, english, strict=True))
        assert "{" not in "".join(ours)
        assert re.findall(r"Anna|Bert", ours.told) == re.findall(r"Anna|Bert", english.told)
        assert [figure.replace(",", ".") for figure in re.findall(r"\d+(?:,\d+)?", ours.told)] == re.findall(
            r"\d+(?:\.\d+)?", english.told
        )


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("kind", list(EventType))
def test_every_notification_is_said(name: str, kind: EventType) -> None:
    one = event(kind, reason="no frame for 6 s")

    def body(language: str) -> str:
        message = Message(one, event_payload(one, "door", "m"), None, translation(language))
        return for_ntfy(schema.WebhookSettings(), "", message)[1].decode()

    assert body(name) not in (body("en"), "")
    assert (one.name in body(name)) == (one.name in body("en")) if one.name else True
    assert "frame" not in body(name)


@pytest.mark.parametrize("name", OTHERS)
def test_home_assistant_shows_names_in_the_language_and_keeps_its_ids(name: str) -> None:
    def entities(language: str, *cameras: str) -> dict[str, dict[str, str]]:
        config = schema.Config(device=schema.DeviceSettings(id="door", language=language))  # type: ignore[arg-type]
        components: dict[str, dict[str, str]] = homeassistant.describe(config, {"p_1": "Camera"}, cameras)["components"]
        return components

    for cameras in ((), ("front", "face")):
        ours, english = entities(name, *cameras), entities("en", *cameras)
        assert [ours[key]["default_entity_id"] for key in ours] == [english[key]["default_entity_id"] for key in english]
        assert ours["p_1"]["name"] == "Camera"
        assert {key for key in ours if ours[key]["name"] == english[key]["name"]} <= {
            "p_1",
            "camera",
            "state_front",
            "state_face",
        }
    assert english["unknown_face"]["name"] == "Unknown face face"
    assert ours["unknown_face"]["name"] == f"{translation(name).say('Unknown face')} face"


@pytest.mark.parametrize("name", OTHERS)
def test_a_person_in_home_assistant_is_shown_in_the_language(name: str) -> None:
    ours, english = (describe_person("t", "p_1", "Present", [], translation(one)) for one in (name, "en"))
    assert ours["device"] == english["device"]
    for key, component in ours["components"].items():
        assert component["default_entity_id"] == english["components"][key]["default_entity_id"]
        assert (component["name"] == english["components"][key]["name"]) is (key == "home")

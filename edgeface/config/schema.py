"""Defines every setting of edgeface.toml: its type, limits, default and meaning."""

from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from msgspec import Meta, Struct
from msgspec.structs import replace

from edgeface.config import sources
from edgeface.config.hours import WeeklyHours
from edgeface.config.paths import expand, secret_path
from edgeface.config.texts import Base, Line, Slug, Topic, is_host, is_url
from edgeface.errors import ConfigError
from edgeface.platform import environment

MAX_BYTES = 2**20
Count = Annotated[int, Meta(ge=1, le=40)]  # a track remembers 40 views
Seconds = Annotated[float, Meta(ge=0, le=86400)]
Share = Annotated[float, Meta(ge=0, le=1)]
Language = Literal["en", "de", "es", "fr", "nl"]
LEAST_AREA = 1e-5  # of the picture that a region must enclose: 3 pixels of 640 x 480

EVENT_TYPES = ("recognized", "unknown", "unsure", "left", "presentation_attack", "camera_lost", "camera_back")
"""The names of ``EventType``, whose module would have every command load numpy."""


def means(text: str, **limits: Any) -> Meta:
    """Return what a setting means, as ``edgeface config default`` prints it, and msgspec's limits for its value."""
    return Meta(description=text, **limits)


class _Section(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class DeviceSettings(_Section, frozen=True):
    """Which device it is."""

    id: Annotated[Slug, means("unique on the broker; letters, digits, - and _")] = "edgeface"
    language: Annotated[Language, means("of notifications and of names in Home Assistant: en, de, es, fr or nl")] = "en"


class RegionSettings(_Section, frozen=True):
    """A part of the picture: a polygon, whose corners are fractions of width and height, from the top left."""

    name: Slug
    points: Annotated[tuple[tuple[Share, Share], ...], Meta(min_length=3, max_length=64)]

    def __post_init__(self) -> None:
        following = (*self.points[1:], *self.points[:1])
        area = sum(x * below - beside * y for (x, y), (beside, below) in zip(self.points, following, strict=True)) / 2
        if abs(area) < LEAST_AREA:
            raise ValueError(f"the points of {self.name} enclose nothing, or their lines cross")


Regions = Annotated[tuple[RegionSettings, ...], Meta(max_length=32)]


class CameraSettings(_Section, frozen=True):
    """Where frames come from."""

    name: Annotated[Slug, means("names the camera in topics and events")] = "camera"
    source: Annotated[
        Line, means("picamera | picamera:1 | v4l2:/dev/video0 | rtsp://... | http://... | video:FILE | folder:DIR")
    ] = "v4l2:/dev/video0"
    width: Annotated[int, means("pixels asked of a live camera, before rotate", ge=64, le=7680)] = 640
    height: Annotated[int, means("pixels asked of a live camera, before rotate", ge=64, le=4320)] = 480
    max_pixels: Annotated[
        int,
        means(
            "pixels of a frame at most: a larger JPEG is scaled down, a larger frame of any other kind is refused",
            ge=64 * 64,
            le=64_000_000,
        ),
    ] = 5_100_000
    fps: Annotated[float, means("frames a second at most; recordings are played at this rate", gt=0, le=120)] = 10.0
    hold: Annotated[Seconds, means("seconds that each image of a folder is shown; 0 is for one frame")] = 1.0
    rotate: Annotated[Literal[0, 90, 180, 270], means("degrees clockwise by which pictures are turned: 0, 90, 180 or 270")] = 0
    flip: Annotated[
        Literal["none", "horizontal", "vertical"],
        means('"horizontal" swaps left and right, "vertical" top and bottom, both after rotate'),
    ] = "none"
    masks: Annotated[
        Regions,
        means("parts that are blackened, each [[camera.masks]] with name and points: no face in one is looked at"),
    ] = ()
    zones: Annotated[
        Regions, means("parts to watch, each [[camera.zones]] with name and points: only faces in one are announced")
    ] = ()

    def __post_init__(self) -> None:
        names = [region.name for region in (*self.masks, *self.zones)]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two masks or zones are called {min(twice)}")
        if self.width * self.height > self.max_pixels:
            raise ValueError(f"width x height is {self.width * self.height} pixels, max_pixels is {self.max_pixels}")


MORE_CAMERAS = "For each further camera a line [[cameras]], and below it the settings of [camera], with a name of its own."
MoreCameras = Annotated[tuple[CameraSettings, ...], means(MORE_CAMERAS, max_length=15)]


class DetectorSettings(_Section, frozen=True):
    """Which faces are looked at."""

    model: Annotated[Line, means("yunet | the folder of a detector that python -m train detector export wrote")] = "yunet"
    max_side: Annotated[int, means("frames are searched at this size; larger finds smaller faces", ge=64, le=4096)] = 640
    min_eye_distance: Annotated[float, means("pixels between the eyes; smaller faces are ignored", ge=4, le=500)] = 16.0
    still_every: Annotated[
        Seconds, means("seconds between searches while nothing moves and nobody is there; 0 searches every frame")
    ] = 1.0
    threads: Annotated[
        int, means("processor cores that the search may use; more are quicker and take more in all", ge=1, le=64)
    ] = 1
    min_quality: Annotated[Share, means("poorer views do not count: size, sharpness, exposure, pose; 0 counts all")] = 0.45


class GallerySettings(_Section, frozen=True):
    """Who is known."""

    path: Annotated[str, means('the database; "" is gallery.db in the data folder of the user or service')] = ""
    key_file: Annotated[
        Line, means('its key; "" is gallery.key beside it; systemd\'s credential gallery-key goes before it')
    ] = ""
    keep_faces: Annotated[
        bool,
        means(
            "keep the faces of those who are enrolled, encrypted: an edgeface with another network then makes its "
            "templates of them, and nobody need be enrolled anew"
        ),
    ] = False
    bin_days: Annotated[
        float, means("days in which merges, splits, moves and deletions of views can be undone; 0 keeps nothing", ge=0, le=365)
    ] = 30.0


class BackupSettings(_Section, frozen=True):
    """Copies of the gallery, sealed as it is; without its key, which is not in them, they are of no use."""

    keep: Annotated[int, means("copies that are kept; the oldest goes once a new one is good; 0 makes none", ge=0, le=1000)] = 7
    every_hours: Annotated[float, means("hours from one copy to the next", ge=1, le=8784)] = 24.0
    folder: Annotated[str, means('where they are; "" is backups beside the gallery; another folder must be there already')] = ""


class MatchingSettings(_Section, frozen=True):
    """When a face is somebody."""

    target_fpir: Annotated[
        float, means("chance that a stranger's visit passes for anybody enrolled; lower is stricter", gt=0, le=0.1)
    ] = 0.001
    unsure_fpir: Annotated[
        float, means("the same for the lower threshold: between the two nobody is named, nor called unknown", gt=0, le=0.5)
    ] = 0.05
    margin: Annotated[float, means("lead in cosine that the best person needs over the second", ge=0, le=1)] = 0.05


class PresenceSettings(_Section, frozen=True):
    """When views become events."""

    min_votes: Annotated[Count, means("views that have a person nearest before that person is recognized")] = 3
    min_share: Annotated[Share, means("share of the quality-weighted views that must agree")] = 0.5
    unknown_after: Annotated[Count, means("good views that fit nobody before a face is called unknown")] = 8
    left_after: Annotated[Seconds, means("seconds without a good view before somebody has left")] = 5.0


class LivenessSettings(_Section, frozen=True):
    """Whether a live face is there, or a screen or print that shows one: told by its looks, and in doubt by how it moves."""

    mode: Annotated[
        Literal["off", "report", "refuse"],
        means('"report" says in events whether a face is live; "refuse" names nobody whose face does not count as live'),
    ] = "off"
    attacks: Annotated[
        Literal["off", "unnamed", "named"],
        means('publish as an event "presentation_attack" that a screen or print shows somebody enrolled, with or without whom'),
    ] = "off"


class EventsSettings(_Section, frozen=True):
    """What is kept of events, for people confirm and reject: embeddings, encrypted; of pictures see [web]."""

    keep_days: Annotated[float, means("days until an event is erased; 0 keeps none", ge=0, le=366)] = 7.0
    max: Annotated[int, means("events that are kept at most; the oldest goes first", ge=0, le=10_000)] = 500
    publish_unsure: Annotated[bool, means('publish visits that end in doubt, too, as events of the type "unsure"')] = False
    keep_strangers: Annotated[bool, means("keep faces of unknown and unsure events, too, by which strangers can be told")] = (
        False
    )


class MqttSettings(_Section, frozen=True):
    """The broker; without a host, events are printed as JSON lines."""

    host: Annotated[str, means("name or address of the broker")] = ""
    port: Annotated[int, means("0 is 1883, or 8883 with TLS", ge=0, le=65535)] = 0
    username: Line = ""
    password_file: Annotated[Line, means("file whose first line is the password; never put it on a command line")] = ""
    protocol: Annotated[str, means("5 or 3.1.1", pattern=r"^(5|3\.1\.1)\Z")] = "5"
    tls: Annotated[bool, means("encrypt, and verify the broker's certificate")] = False
    ca_file: Annotated[Line, means("certificates to trust in place of the system's")] = ""
    cert_file: Annotated[Line, means("this device's own certificate, for a broker that asks for one")] = ""
    key_file: Annotated[Line, means("the private key of that certificate, without a passphrase")] = ""
    base: Annotated[Base, means('start of every topic; "" is edgeface/<device id>')] = ""
    keepalive: Annotated[int, means("seconds", ge=5, le=3600)] = 20
    max_event_age: Annotated[float, means("seconds; older events are dropped, not delivered late", gt=0, le=86400)] = 10.0
    queue: Annotated[int, means("events that wait while the broker is away; the oldest goes first", ge=1, le=10000)] = 100
    images: Annotated[bool, means("send the face that caused an event as a picture; whoever reads topics sees it")] = False
    frames: Annotated[bool, means("besides, send the whole frame, with the face boxed and named; needs images")] = False

    def __post_init__(self) -> None:
        if self.host and not is_host(self.host):  # do not repeat the value: a password may stand in it
            raise ValueError("host is no name and no address; the port is a setting of its own")
        if self.password_file and not self.username:
            raise ValueError("password_file is set, but no username")
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("cert_file and key_file go together: set both or neither")
        if self.cert_file and not self.tls:
            raise ValueError("cert_file is for TLS: set tls = true")
        if self.frames and not self.images:
            raise ValueError("frames is set, but images is not: no picture is sent without images")


class CommandsSettings(_Section, frozen=True):
    """What may be asked of the daemon over MQTT: whoever may publish on the broker may ask it."""

    allow: Annotated[
        tuple[Slug, ...], means('none unless listed, such as "people" and "snapshot"; docs/mqtt.md has them all')
    ] = ()
    per_minute: Annotated[int, means("more requests than this are refused", ge=1, le=600)] = 30


class SyncSettings(_Section, frozen=True):
    """One gallery for several devices, by way of the broker: whoever has the key has the gallery."""

    enabled: Annotated[bool, means("follow the shared gallery, and share this one; needs mqtt.host")] = False
    topic: Annotated[Topic, means("where it is; the same for all that share it")] = "edgeface/gallery/home"
    key_file: Annotated[
        Line, means('the shared key; "" is sync.key beside the gallery; edgeface gallery key makes and shows it')
    ] = ""


class HomeSettings(_Section, frozen=True):
    """Who is home: one state of each person over all devices, retained at the broker."""

    enabled: Annotated[
        bool, means("publish it: whoever reads the topic learns who is home, and was seen last when and where")
    ] = False
    topic: Annotated[Topic, means("where it is; the same for all devices that know the same people")] = "edgeface/people/home"
    hours: Annotated[
        float, means("hours after which somebody who no device has seen is not home; the same for all devices", gt=0, le=8784)
    ] = 12.0


class HomeAssistantSettings(_Section, frozen=True):
    """Entities in Home Assistant, by MQTT discovery."""

    enabled: Annotated[bool, means("announce the device and its people to Home Assistant")] = False
    prefix: Annotated[Topic, means("discovery prefix of Home Assistant's MQTT integration")] = "homeassistant"
    area: Annotated[Line, means('area that is suggested for the device, such as "Hall"')] = ""


class WebhookSettings(_Section, frozen=True):
    """Events by HTTP, beside the broker or without one."""

    url: Annotated[Line, means('where each event is posted, http://... or https://...; "" is nowhere')] = ""
    format: Annotated[
        Literal["json", "ntfy"], means('"json" is the payload of MQTT, "ntfy" a notification for the topic of the url')
    ] = "json"
    secret_file: Annotated[Line, means("file whose first line signs each post (json), or is the access token (ntfy)")] = ""
    events: Annotated[
        tuple[Slug, ...], means("recognized, unknown, left, presentation_attack, camera_lost, camera_back: which are posted")
    ] = (
        "recognized",
        "unknown",
    )
    timeout: Annotated[float, means("seconds that a post may take", gt=0, le=60)] = 5.0
    max_event_age: Annotated[float, means("seconds; older events are dropped, not delivered late", gt=0, le=86400)] = 10.0
    images: Annotated[bool, means("send the face that caused an event along")] = False
    click: Annotated[Line, means("address that a notification of ntfy opens")] = ""
    ca_file: Annotated[Line, means("certificates to trust in place of the system's")] = ""

    def __post_init__(self) -> None:
        if self.url and not is_url(self.url):  # do not repeat the value: a token may stand in it
            raise ValueError("url needs http:// or https://, a host, no user and no password: a token goes into secret_file")
        if self.click and not self.click.isascii():
            raise ValueError("click needs an address in ASCII")
        if unknown := set(self.events) - set(EVENT_TYPES):
            raise ValueError(f"events: there is no {min(unknown)!r}; there are {', '.join(EVENT_TYPES)}")


class MetricsSettings(_Section, frozen=True):
    """Figures for Prometheus."""

    port: Annotated[int, means("where they are served over HTTP; 0 is nowhere", ge=0, le=65535)] = 0
    address: Annotated[str, means('"" is every address of this machine, for the whole network to read')] = "127.0.0.1"

    def __post_init__(self) -> None:
        if self.address and not is_host(self.address):
            raise ValueError("address is no name and no address; the port is a setting of its own")


class WebSettings(_Section, frozen=True):
    """A page for the browser: what the camera sees, who was there, who is known."""

    enabled: Annotated[bool, means("serve it; edgeface web url prints its address, with the token that opens it")] = False
    address: Annotated[str, means("where it is served; what is not this machine alone needs TLS, or behind_proxy")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(ge=1, le=65535)] = 8480
    tls_cert: Annotated[Line, means("file of the certificate and its chain, to serve it encrypted")] = ""
    tls_key: Annotated[Line, means("file of the certificate's key")] = ""
    behind_proxy: Annotated[bool, means("a proxy in front of it encrypts: serve it in the clear at any address")] = False
    hosts: Annotated[tuple[str, ...], means("names by which browsers may reach it, besides localhost and bare addresses")] = ()
    language: Annotated[Language | Literal["auto"], means('en, de, es, fr or nl; "auto" is that of each browser')] = "auto"
    pictures: Annotated[bool, means("keep the face of each event as a picture, encrypted in the gallery, for keep_hours")] = (
        False
    )
    unknown: Annotated[bool, means("show who was not recognized in the last keep_hours, to be named or dismissed")] = False
    keep_hours: Annotated[float, means("hours after which pictures are erased", gt=0, le=8784)] = 24.0
    api_per_minute: Annotated[int, means("more requests than this with one token of /api are refused", ge=1, le=600)] = 60

    def __post_init__(self) -> None:
        if self.address and not is_host(self.address):
            raise ValueError("address is no name and no address; the port is a setting of its own")
        if not all(map(is_host, self.hosts)):
            raise ValueError("hosts needs names, each without scheme and port")

    @property
    def url(self) -> str:
        """The page's address for a browser on this machine, or in its network if ``hosts`` names the device."""
        here = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.address, self.address)
        host = self.hosts[0] if self.hosts else here
        return f"{'https' if self.tls_cert else 'http'}://{f'[{host}]' if ':' in host else host}:{self.port}/"


class GrantSettings(_Section, frozen=True):
    """Signed grants that a lock asks for over MQTT: who is before the camera, alive and expected, for one lock, once."""

    groups: Annotated[tuple[Line, ...], means("groups of people whom a grant may name; none unless listed")] = ()
    seconds: Annotated[float, means("seconds for which a grant is good", gt=0, le=60)] = 5.0
    key_file: Annotated[Line, means('file of the signing key; "" is grant.key beside the gallery')] = ""


class PauseSettings(_Section, frozen=True):
    """When the camera is closed, besides edgeface pause."""

    hours: Annotated[
        tuple[Line, ...],
        means('hours of the week by the clock of this machine, such as "mon-fri 08:00-17:00" and "sat,sun 22:00-06:00"'),
    ] = ()

    topic: Annotated[Base, means('topic of the broker: while it says what payload is, the camera is closed; "" is none')] = ""
    payload: Annotated[Line, means("exactly this, without quotes", min_length=1)] = "home"
    hold: Annotated[Seconds, means("seconds that the last payload counts without the broker; then the camera opens")] = 900.0

    def __post_init__(self) -> None:
        WeeklyHours.of(self.hours)


class RulesSettings(_Section, frozen=True):
    """What people's rules mean, which edgeface people sets for each of them."""

    outside_hours: Annotated[
        Literal["tell", "withhold"],
        means('"tell" says in the event of who comes outside of their hours that it is not allowed; "withhold" sends none'),
    ] = "tell"


class Config(_Section, frozen=True):
    """Every setting, by section."""

    device: DeviceSettings = DeviceSettings()
    camera: CameraSettings = CameraSettings()
    cameras: MoreCameras = ()
    detector: DetectorSettings = DetectorSettings()
    gallery: GallerySettings = GallerySettings()
    backup: BackupSettings = BackupSettings()
    matching: MatchingSettings = MatchingSettings()
    presence: PresenceSettings = PresenceSettings()
    pause: PauseSettings = PauseSettings()
    rules: RulesSettings = RulesSettings()
    liveness: LivenessSettings = LivenessSettings()
    events: EventsSettings = EventsSettings()
    mqtt: MqttSettings = MqttSettings()
    commands: CommandsSettings = CommandsSettings()
    grant: GrantSettings = GrantSettings()
    sync: SyncSettings = SyncSettings()
    home: HomeSettings = HomeSettings()
    homeassistant: HomeAssistantSettings = HomeAssistantSettings()
    webhook: WebhookSettings = WebhookSettings()
    metrics: MetricsSettings = MetricsSettings()
    web: WebSettings = WebSettings()

    def __post_init__(self) -> None:
        names = [camera.name for camera in self.every_camera]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two cameras are called {min(twice)}; each of [camera] and [[cameras]] needs a name of its own")

    @property
    def every_camera(self) -> tuple[CameraSettings, ...]:
        """``camera``, which is the first, and all ``cameras``."""
        return (self.camera, *self.cameras)

    def of_camera(self, name: str | None) -> "Config":
        """Return the settings as they are for one camera alone, the first one without a name.

        Raises:
            ConfigError: there is no camera of that name.
        """
        found = next((one for one in self.every_camera if name in (None, one.name)), None)
        if found is None:
            names = ", ".join(one.name for one in self.every_camera)
            raise ConfigError(f"there is no camera {name!r}; there is {names}")
        return replace(self, camera=found, cameras=())

    @property
    def gallery_path(self) -> Path:
        """The gallery's file: the set path, or one in systemd's state folder or the user's XDG data folder."""
        if self.gallery.path:
            return expand(self.gallery.path, "gallery.path")
        return (environment.path("STATE_DIRECTORY", ":") or Path(platformdirs.user_data_dir("edgeface"))) / "gallery.db"

    @property
    def key_path(self) -> Path:
        if self.gallery.key_file:
            return expand(self.gallery.key_file, "gallery.key_file")
        return self.gallery_path.parent / "gallery.key"

    @property
    def backup_folder(self) -> Path:
        return expand(self.backup.folder, "backup.folder") if self.backup.folder else self.gallery_path.parent / "backups"

    @property
    def audit_path(self) -> Path:
        return self.gallery_path.parent / "audit.jsonl"

    @property
    def grant_key_path(self) -> Path:
        if self.grant.key_file:
            return secret_path(self.grant.key_file, "grant.key_file")
        return self.gallery_path.with_name("grant.key")

    @property
    def pause_path(self) -> Path:
        return self.gallery_path.parent / "pause.json"

    @property
    def token_path(self) -> Path:
        return self.gallery_path.parent / "web.token"

    @property
    def api_tokens_folder(self) -> Path:
        return self.gallery_path.parent

    @property
    def sync_key_path(self) -> Path:
        """The file of the key that devices with a shared gallery have in common."""
        if self.sync.key_file:
            return secret_path(self.sync.key_file, "sync.key_file")
        return self.gallery_path.parent / "sync.key"

    @property
    def publisher(self) -> Literal["mqtt", "lines"]:
        return "mqtt" if self.mqtt.host else "lines"

    @property
    def shared_gallery(self) -> GallerySettings | None:
        return self.gallery if self.sync.enabled else None

    @property
    def shared_topic(self) -> str:
        """The topic at the broker of the shared gallery; empty if there is none, or another transport has it."""
        return self.sync.topic.strip("/") if self.sync.enabled and "://" not in self.sync.topic else ""

    @property
    def base(self) -> str:
        return self.mqtt.base.strip("/") or f"edgeface/{self.device.id}"


def shown(section: str, name: str, value: Any) -> Any:
    """Return a value that anybody may read: a source without passwords, and no username, which may be a token."""
    if name == "source" or (section, name) in (("webhook", "url"), ("webhook", "click")):
        return sources.shown(value)
    return sources.HIDDEN if (section, name) == ("mqtt", "username") and value else value

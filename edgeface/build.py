"""The one place that turns a configuration into objects."""

from pathlib import Path

from edgeface import cameras, detectors, publishers
from edgeface.commands import Commands
from edgeface.config import Config
from edgeface.daemon import Daemon, Outage
from edgeface.embedding import Embedder
from edgeface.enrolment import Enrolment
from edgeface.events import EventKeeper
from edgeface.gallery import Gallery
from edgeface.heartbeat import Heartbeat
from edgeface.interfaces import Camera
from edgeface.modelcard import SHIPPED, ModelCard
from edgeface.pipeline import Pipeline
from edgeface.presence import Presence

SAME_FAR, DIFFERENT_FAR = 1e-4, 0.05
"""False-accept rates of the two cosines by which tracks are joined and torn apart."""


def gallery(config: Config, card: ModelCard) -> Gallery:
    """The gallery of this configuration, for this model."""
    return Gallery(config.gallery_path, card.digest, card.identity, config.key_path)


def pipeline(config: Config, embedder: Embedder, people: Gallery) -> Pipeline:
    """Detector, embedder and gallery, joined."""
    return Pipeline(detectors.create(max_side=config.detector.max_side), embedder, people, config)


def presence(config: Config, card: ModelCard) -> Presence:
    """What turns the observations of this configuration's camera into events."""
    return Presence(config.camera.name, config.presence, same=card.threshold(SAME_FAR), different=card.threshold(DIFFERENT_FAR))


def daemon(config: Config, model: Path = SHIPPED, camera: Camera | None = None) -> Daemon:
    """Everything that ``edgeface run`` needs, with the configured camera or another.

    Raises:
        EdgefaceError: a part cannot be built; the message says which and why.
    """
    embedder = Embedder(model)
    card = embedder.card
    people = gallery(config, card)
    eyes = pipeline(config, embedder, people)
    camera = camera or cameras.create(config.camera)
    publisher = publishers.create("mqtt" if config.mqtt.host else "lines", config, card.digest)
    heartbeat = Heartbeat(publisher, camera, config.camera.name, card.digest, lambda: eyes.templates)
    commands = Commands(config.commands, publisher, Enrolment(eyes, people), people, config.camera.name)
    keeper = EventKeeper(people.events, config.events)
    return Daemon(
        camera, eyes, Outage(config.camera.name), presence(config, card), publisher, heartbeat, commands, keeper, people
    )

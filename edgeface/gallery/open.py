"""Opens the gallery of a configuration, for a model; ``serving`` is for a process that keeps it open for long."""

from edgeface.config.schema import Config
from edgeface.gallery.store import Gallery
from edgeface.vision.model_card import ModelCard


def open_gallery(config: Config, card: ModelCard, *, serving: bool = False) -> Gallery:
    keep = config.gallery.keep_faces
    gallery = Gallery(config.gallery_path, card.digest, card.identity, config.key_path, keep_faces=keep, serving=serving)
    gallery.bin.days = config.gallery.bin_days
    return gallery

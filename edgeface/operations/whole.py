"""Replaces a whole gallery while no daemon runs: reembeds it for another network, or restores a backup."""

from collections.abc import Callable
from pathlib import Path

from edgeface.config.schema import Config
from edgeface.gallery import migration, restore
from edgeface.gallery.audit import Audit
from edgeface.gallery.migration import Reembedded
from edgeface.gallery.restore import Restored


def reembed(
    config: Config, model: Path, *, drop: bool = False, names: bool = True, alive: Callable[[], None] = lambda: None
) -> Reembedded | None:
    """Reembed the gallery of a configuration, and note it in the audit log; see ``migration.reembed``."""
    done = migration.reembed(config.gallery_path, config.key_path, model, drop=drop, names=names, alive=alive)
    if done:
        Audit(config.audit_path).note("reembed", people=done.people, templates=done.templates, dropped=len(done.dropped))
    return done


def restore_whole(config: Config, model: Path, reference: str | None) -> Restored:
    """Restore the gallery of a configuration, and note it in the audit log; see ``restore.whole``."""
    done = restore.whole(config, model, reference)
    Audit(config.audit_path).note("restore", copy=done.copy, people=done.people, kept_aside=done.kept_aside)
    return done

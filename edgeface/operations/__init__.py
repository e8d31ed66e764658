"""Everything that can be asked of the gallery and of the daemon."""

"""Serves the daemon's page to browsers. But for its token, nothing here is imported unless ``[web] enabled`` is set."""

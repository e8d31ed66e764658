"""People, their templates and their events, encrypted in one SQLite file."""

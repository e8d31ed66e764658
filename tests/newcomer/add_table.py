"""A table in the gallery: how often each person was recognized; older files get it when it is first needed."""

from copied import Copy

TABLE = """
-- How often each person was recognized. With its person a count goes, too.
CREATE TABLE IF NOT EXISTS visits (person_id TEXT PRIMARY KEY REFERENCES people (id) ON DELETE CASCADE, count INTEGER NOT NULL);
"""
QUERIES = '''
    def visits(self) -> dict[str, int]:
        """Return how often each person was recognized, by id."""
        with self._database.errors():
            there = self._database.has_table("visits")
            return dict(self._database.execute("SELECT person_id, count FROM visits").fetchall()) if there else {}

    def _count(self, person_id: str) -> None:
        need(self._database, "visits")
        add = "INSERT INTO visits VALUES (?, 1) ON CONFLICT (person_id) DO UPDATE SET count = count + 1"
        self._database.execute(add, (person_id,))
'''


def apply(copy: Copy) -> None:
    path = "edgeface/gallery/schema/v2.sql"
    (last,) = (copy.root / path).read_text().splitlines()[-1:]
    copy.insert(path, after=f"{last}\n", text=TABLE)
    path = "edgeface/gallery/event_store.py"
    copy.insert(
        path,
        after="                retention.forward(self._database, self.clocks)\n",
        text="                if kept.person_id is not None:\n                    self._count(kept.person_id)\n",
    )
    copy.replace(path, "\n    def expire(", f"{QUERIES}\n    def expire(")

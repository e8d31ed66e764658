-- The gallery's file, format 2. What is in a column "sealed" is encrypted, and bound to what it is and whose.

CREATE TABLE meta (model TEXT NOT NULL, proof BLOB NOT NULL);
CREATE TABLE people (id TEXT PRIMARY KEY, sealed BLOB NOT NULL);
CREATE TABLE templates (
    id INTEGER PRIMARY KEY,
    person_id TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    sealed BLOB NOT NULL
);
CREATE INDEX templates_of_person ON templates (person_id);
CREATE TABLE events (id TEXT PRIMARY KEY, person_id TEXT REFERENCES people (id) ON DELETE CASCADE, sealed BLOB NOT NULL);

-- From here on, each table is made only when it is first needed: a new gallery has none of them.

-- The faces that templates were made from. With its template a face goes, too.
CREATE TABLE IF NOT EXISTS faces (
    template INTEGER PRIMARY KEY REFERENCES templates (id) ON DELETE CASCADE,
    sealed BLOB NOT NULL
);

-- Pictures of events. With its event a picture goes, too.
CREATE TABLE IF NOT EXISTS pictures (event_id TEXT PRIMARY KEY REFERENCES events (id) ON DELETE CASCADE, sealed BLOB NOT NULL);

-- What holds for a person: muted, ignored, hours, groups, expiry. With the person the record goes, too.
CREATE TABLE IF NOT EXISTS rules (person_id TEXT PRIMARY KEY REFERENCES people (id) ON DELETE CASCADE, sealed BLOB NOT NULL);

-- The marks of who was forgotten: they are to be erased from backups, too, and to come back with none.
CREATE TABLE IF NOT EXISTS erased (person BLOB PRIMARY KEY);

-- Changes that can be undone: whom each concerns, since when by the gallery's clock, and what it took.
CREATE TABLE IF NOT EXISTS bin (id TEXT PRIMARY KEY, people TEXT NOT NULL, since REAL NOT NULL, sealed BLOB NOT NULL);

-- The gallery's clock, as of a moment of a boot, and as of the latest moment of which the right wall clock is known.
CREATE TABLE IF NOT EXISTS retention (now REAL, boot TEXT, monotonic REAL, set_boot TEXT, set_now REAL, set_wall REAL);

-- Since when events are kept, by the gallery's clock.
CREATE TABLE IF NOT EXISTS kept (event_id TEXT PRIMARY KEY REFERENCES events (id) ON DELETE CASCADE, since REAL NOT NULL);

-- Which events are visits in doubt, in the order in which they were kept.
CREATE TABLE IF NOT EXISTS unsure (event_id TEXT PRIMARY KEY REFERENCES events (id) ON DELETE CASCADE);

-- The revision of each person of the shared gallery, by the name under which they are shared.
CREATE TABLE IF NOT EXISTS revisions (name TEXT PRIMARY KEY, key TEXT NOT NULL, sealed BLOB NOT NULL);

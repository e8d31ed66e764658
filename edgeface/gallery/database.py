"""Reads and writes the tables of people, templates and kept faces, in which every record is sealed."""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from edgeface.errors import GalleryError
from edgeface.gallery.damage import KINDS, Damage, Kind
from edgeface.gallery.database_file import DatabaseFile
from edgeface.gallery.encryption import Key, Record, Sealer, SealError, find_key
from edgeface.gallery.file_format import PLAIN, SEALED, STRANGE, VERSION, check_model, create, describe, need, prove, version_of
from edgeface.gallery.records import ImageRecord, PersonRecord, TemplateKind, TemplateRecord, TemplateRow, erasure_mark
from edgeface.gallery.rules import RuleRecord

log = logging.getLogger(__name__)
CACHE = "cache_size=-512"  # kilobytes that SQLite keeps: records are kept decrypted, and the system keeps the file, too
OF_PERSON: tuple[Kind, ...] = ("person", "template", "negative")
NOBODY = "SELECT id FROM people WHERE NOT EXISTS (SELECT 1 FROM templates WHERE person_id = people.id AND kind != 'negative')"
"""Finds people without a template, not even a damaged one: a verdict has taken the only one back."""
ORPHANS = "SELECT 0, person_id, x'' FROM templates WHERE kind != 'negative' AND person_id NOT IN (SELECT id FROM people)"


class Database(DatabaseFile):
    """An open gallery file. ``sealer`` seals what goes into a column ``sealed``; the ids beside it are in the clear.

    ``damaged`` are the records that did not open when they were last read: reading goes on without them. Opening raises
    ``GalleryError`` as ``DatabaseFile`` does, or if the file is no gallery, is damaged, is of another model, or lacks its key.
    """

    sealer: Sealer

    def __init__(self, path: Path, model: str, key_file: Path, *, serving: bool = False, alone: bool = False) -> None:
        self._model, self._key_file = model, key_file
        self.damaged: set[Damage] = set()
        self._touched: set[str] = set()
        super().__init__(path, serving=serving, alone=alone)

    def _open(self) -> None:
        version, keyed = version_of(self), self._key_file.exists()
        if version == PLAIN:
            check_model(self, self._model)
        self.sealer = Sealer(self._key(create=version < VERSION), self._model)
        # Temporary files would be a second place with traces.
        for setting in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON", "temp_store=MEMORY", CACHE):
            self.execute(f"PRAGMA {setting}").fetchall()
        self.write_ahead()
        if version < VERSION:  # else no lock is needed
            with self.transaction():
                version = version_of(self)
                if version == PLAIN:
                    self._upgrade()
                elif not version:
                    if keyed:
                        log.warning("%s: there was nothing in it, though its key is there: a new gallery begins", self.path)
                    create(self, self.sealer, self._model)
        if version == PLAIN:
            self.execute("VACUUM")
            self.wipe_log()
        prove(self, self.sealer, self._model)

    def _key(self, *, create: bool) -> Key:
        if key := find_key(self._key_file, create=create):
            return key
        lack = f"neither {self._key_file} nor systemd's credential gallery-key is there"
        raise GalleryError(f"{self.path}: its key is missing: {lack}; put it back, or enroll anew into another gallery.path")

    def _upgrade(self) -> None:
        """Seal what the first format kept in the clear."""
        people = self.execute("SELECT id, name, enrolled FROM people").fetchall()
        templates = self.execute("SELECT person_id, vector, quality FROM templates ORDER BY id").fetchall()
        if not all(isinstance(vector, bytes) for _, vector, _ in templates):
            raise GalleryError(f"{self.path}: not a gallery, or damaged (a template is no vector)")
        for table in ("templates", "people", "meta"):
            self.execute(f"DROP TABLE {table}")
        create(self, self.sealer, self._model)
        for person_id, name, enrolled in people:
            self.add_person(person_id, PersonRecord(name, enrolled))
        for person_id, vector, quality in templates:
            self.add_template(person_id, "template", "", TemplateRecord(vector, quality))

    @contextmanager
    def change(self) -> Iterator[None]:
        """Change the file within a transaction, unless another process has taken it over with another model."""
        self._touched.clear()
        with self.transaction():
            check_model(self, self._model)
            for kind, name in self.execute(STRANGE).fetchall():
                log.warning("%s: the %s %r is none of edgeface's, and is removed", self.path, kind, name)
                self.execute(f'DROP {kind} "{name.replace(chr(34), 2 * chr(34))}"')
            yield
            for person_id in self._touched:  # their template has changed, which others notice by the person's new seal
                row = self.execute("SELECT sealed FROM people WHERE id = ?", (person_id,)).fetchone()
                with suppress(SealError):  # even the name may be damaged
                    if row:
                        self.change_person(person_id, self.sealer.unseal(row[0], PersonRecord, "person", person_id))

    def add_person(self, person_id: str, record: PersonRecord) -> None:
        if self.has_table("erased"):
            self.execute("DELETE FROM erased WHERE person = ?", (erasure_mark(person_id),))
        self.execute("INSERT INTO people VALUES (?, ?)", (person_id, self.sealer.seal(record, "person", person_id)))

    def change_person(self, person_id: str, record: PersonRecord) -> bool:
        """Replace a person's record; return false if they are not there."""
        sealed = self.sealer.seal(record, "person", person_id)
        return self.execute("UPDATE people SET sealed = ? WHERE id = ?", (sealed, person_id)).rowcount == 1

    def remove_person(self, person_id: str) -> None:
        """Delete a person who may come back: backups keep them."""
        self.erase("DELETE FROM people WHERE id = ?", (person_id,))

    def mark_erased(self, person_id: str) -> None:
        """Note that a person is to be erased from backups, too."""
        need(self, "erased")
        self.execute("INSERT OR IGNORE INTO erased VALUES (?)", (erasure_mark(person_id),))

    def erase_person(self, person_id: str) -> None:
        """Delete a person with all that is theirs, and mark them as erased. Raise ``GalleryError`` if some of it stays."""
        self.mark_erased(person_id)
        theirs = {"templates": "person_id", "events": "person_id", "people": "id"}
        theirs |= {"rules": "person_id"} if self.has_table("rules") else {}
        for _ in range(2):
            for table, column in theirs.items():
                self.erase(f"DELETE FROM {table} WHERE {column} = ?", (person_id,))
            # The plus sign keeps SQLite from asking an index, which may be what is damaged.
            counts = [f"(SELECT count(*) FROM {table} WHERE +{column} = :id)" for table, column in theirs.items()]
            if not self.execute(f"SELECT {' + '.join(counts)}", {"id": person_id}).fetchone()[0]:
                return
            self.execute("REINDEX")
        raise GalleryError(f"{self.path}: {person_id} cannot be erased from it; edgeface gallery restore brings a copy back")

    def people_without_templates(self) -> set[str]:
        return {person_id for (person_id,) in self.execute(NOBODY).fetchall()}

    def erase_people_without_templates(self) -> None:
        self.erase(f"DELETE FROM people WHERE id IN ({NOBODY})")

    def has_person(self, person_id: str | None) -> bool:
        return self.execute("SELECT 1 FROM people WHERE id = ?", (person_id,)).fetchone() is not None

    def people(self) -> dict[str, PersonRecord]:
        """Return everybody by id. A person whose record is damaged, or missing beside templates, has their id as their name."""
        self.look_anew("person")
        found = {}
        for row, person_id, sealed in (*self.people_rows(), *self.execute(ORPHANS).fetchall()):
            if isinstance(person_id, str):
                record = self.opened(Damage("person", row, person_id), sealed, PersonRecord, "person", person_id)
                found[person_id] = record or PersonRecord(person_id, 0.0)
        return found

    def people_rows(self) -> Iterable[tuple[int, str, bytes]]:
        return self.execute("SELECT rowid, id, sealed FROM people")

    def people_ids(self) -> set[str]:
        """Return the id of everybody, read from the table and not from its index, which may be damaged."""
        return {person_id for (person_id,) in self.execute("SELECT id FROM people NOT INDEXED")}

    def add_template(self, person_id: str, kind: str, source: str, record: TemplateRecord) -> int:
        """Insert a template, negative or not, and return its row; ``source`` is an event's id or empty."""
        sealed = self.sealer.seal(record, kind, person_id, source)
        cursor = self.execute("INSERT INTO templates VALUES (NULL, ?, ?, ?, ?)", (person_id, kind, source, sealed))
        self._touched.add(person_id)
        return int(cursor.lastrowid or 0)

    def drop_template(self, row: int) -> None:
        for (person_id,) in self.execute("DELETE FROM templates WHERE id = ? RETURNING person_id", (row,)).fetchall():
            self._touched.add(person_id)

    def drop_record(self, record: Damage) -> bool:
        """Delete a record of any table; return false if the file keeps it nevertheless."""
        self.erase(f"DELETE FROM {record.table} WHERE rowid = ?", (record.row,))
        self._touched.add(record.owner)
        return not self.execute(f"SELECT count(*) FROM {record.table} WHERE rowid = ?", (record.row,)).fetchone()[0]

    def templates(self, kind: TemplateKind, person_id: str | None = None) -> list[TemplateRow]:
        """Return every template of a kind, or those of one person; each person's the oldest first, without damaged ones."""
        by_owner = self.all_rows() if person_id is None else {person_id: self.rows_of(person_id)}
        return [
            TemplateRow(row, owner, source, record)
            for owner, rows in by_owner.items()
            for row, of, source, sealed in rows
            if of == kind
            and (record := self.opened(Damage(kind, row, owner), sealed, TemplateRecord, kind, owner, source)) is not None
        ]

    def rows_of(self, person_id: str) -> list[tuple[int, str, str, bytes]]:
        """Return row, kind, source and sealed record of every template of a person, the oldest first."""
        query = "SELECT id, kind, source, sealed FROM templates WHERE person_id = ? ORDER BY id"
        return self.execute(query, (person_id,)).fetchall()

    def all_rows(self) -> dict[str, list[tuple[int, str, str, bytes]]]:
        """Return the same of everybody, by owner, read from the table and not from its index."""
        rows: dict[str, list[tuple[int, str, str, bytes]]] = {}
        query = "SELECT id, person_id, kind, source, sealed FROM templates NOT INDEXED ORDER BY id"
        for row, owner, *rest in self.execute(query):
            rows.setdefault(owner, []).append((row, *rest))
        return rows

    def row_sums(self, *, by_index: bool) -> list[int]:
        """Return number, number of owners, sum and last of the templates' rows."""
        where = "templates" if by_index else "templates NOT INDEXED"
        query = f"SELECT count(*), count(DISTINCT person_id), ifnull(sum(id), 0), ifnull(max(id), 0) FROM {where}"
        return list(self.execute(query).fetchone())

    def owners(self) -> dict[int, str]:
        """Return the owner of every template, damaged or not, by row; negative ones are left out."""
        return dict(self.execute("SELECT id, person_id FROM templates WHERE kind != 'negative'").fetchall())

    def count(self, person_id: str) -> int:
        """Return how many templates a person has, damaged ones included, and negative ones not."""
        query = "SELECT count(*) FROM templates WHERE person_id = ? AND kind != 'negative'"
        return int(self.execute(query, (person_id,)).fetchone()[0])

    def counts(self) -> dict[str, int]:
        """Return the same number of everybody who has one, by id."""
        query = "SELECT person_id, count(*) FROM templates WHERE kind != 'negative' GROUP BY person_id"
        return dict(self.execute(query).fetchall())

    def keep_face(self, row: int, person_id: str, png: bytes) -> None:
        need(self, "faces")
        sealed = self.sealer.seal(ImageRecord(png), "face", person_id, str(row))
        self.execute("INSERT OR REPLACE INTO faces VALUES (?, ?)", (row, sealed))

    def faces(self) -> Iterator[tuple[TemplateRow, bytes]]:
        """Yield every template whose face is kept, with its PNG; one face at a time is in memory."""
        for row in self.templates("template") if self.has_table("faces") else ():
            if (png := self.face(row.row, row.owner)) is not None:
                yield row, png

    def face(self, row: int, owner: str, sealer: Sealer | None = None) -> bytes | None:
        """Return the PNG of the face of a template, if it is kept and not damaged."""
        found = self.execute("SELECT sealed FROM faces WHERE template = ?", (row,)).fetchone()
        with suppress(SealError):
            return (sealer or self.sealer).unseal(found[0], ImageRecord, "face", owner, str(row)).data if found else None
        return None

    def owners_of_faces(self) -> dict[int, str]:
        """Return the owner of each template whose face is kept, by the template's row."""
        query = "SELECT templates.id, person_id FROM templates JOIN faces ON template = templates.id"
        return dict(self.execute(query).fetchall()) if self.has_table("faces") else {}

    def count_faces(self) -> int:
        return int(self.execute("SELECT count(*) FROM faces").fetchone()[0]) if self.has_table("faces") else 0

    def erase_faces(self) -> None:
        self.execute("DELETE FROM faces")

    def adopt(self, model: str, remade: Mapping[int, TemplateRecord]) -> None:
        """Belong to another model from now on: the same people and faces, with the templates that are ``remade``, by row.

        Nothing else that the model before made stays. Called within a transaction; if that fails, this object is useless.
        """
        self.empty_bin([change for _, change, *_ in self.bin_rows()])
        before, people, kept = self.sealer, self.people(), {row.row: row for row in self.templates("template")}
        self._model, self.sealer = model, Sealer(self._key(create=False), model)
        for table in ("events", "revisions"):
            if self.has_table(table):
                self.execute(f"DELETE FROM {table}")
        self.execute("DELETE FROM templates WHERE kind != 'template'")
        for _, person_id, sealed in self.rule_rows():
            with suppress(SealError):
                self.put_rules(person_id, before.unseal(sealed, RuleRecord, "rule", person_id))
        describe(self, self.sealer, model)
        for person_id, record in people.items():
            self.change_person(person_id, record)
        for (number,) in self.execute("SELECT id FROM templates").fetchall():
            row = kept.get(number)
            png = self.face(number, row.owner, before) if row and number in remade else None
            if row is None or png is None:
                self.erase("DELETE FROM templates WHERE id = ?", (number,))
            else:
                sealed = self.sealer.seal(remade[number], "template", row.owner, "")
                self.execute("UPDATE templates SET source = '', sealed = ? WHERE id = ?", (sealed, number))
                self.keep_face(number, row.owner, png)

    def rule_rows(self) -> list[tuple[int, str, bytes]]:
        query = "SELECT rowid, person_id, sealed FROM rules NOT INDEXED"
        return self.execute(query).fetchall() if self.has_table("rules") else []

    def put_rules(self, person_id: str, record: RuleRecord) -> None:
        need(self, "rules")
        sealed = self.sealer.seal(record, "rule", person_id)
        self.execute("INSERT OR REPLACE INTO rules VALUES (?, ?)", (person_id, sealed))
        self._touched.add(person_id)

    def bin_rows(self) -> list[tuple[int, str, str, float, bytes]]:
        """Return row, id, people's ids, time and sealed record of each change that can be undone, the oldest first."""
        columns = "rowid, CAST(id AS BLOB), CAST(people AS BLOB), CAST(since AS REAL), sealed"
        query = f"SELECT {columns} FROM bin NOT INDEXED ORDER BY rowid"
        rows = self.execute(query).fetchall() if self.has_table("bin") else []  # what is damaged may be of any type
        return [
            (row, *((text or b"").decode(errors="replace") for text in texts), since or 0.0, sealed)
            for row, *texts, since, sealed in rows
        ]

    def empty_bin(self, changes: Collection[str]) -> None:
        """Erase changes that could be undone. Who was merged away, and is in no other change, counts as erased from now on."""
        rows, left = self.bin_rows(), self.people_ids()
        left.update(*(people.split() for _, change, people, *_ in rows if change not in changes))
        for row, change, people, *_ in rows:
            if change in changes:
                self.erase("DELETE FROM bin WHERE rowid = ?", (row,))
                for person_id in set(people.split()) - left:
                    self.mark_erased(person_id)

    def look_anew(self, kind: Kind) -> None:
        """Forget which records of a kind are damaged: all of them are about to be read."""
        self.damaged = {damage for damage in self.damaged if damage.kind != kind}

    def look_anew_at(self, person_id: str) -> None:
        """Forget which records of a person are damaged: all of them are about to be read."""
        if self.damaged:
            self.damaged = {one for one in self.damaged if one.owner != person_id or one.kind not in OF_PERSON}

    def opened(self, place: Damage, sealed: bytes, kind: type[Record], *bound: str) -> Record | None:
        """Decrypt a record; if it does not open, note its ``place`` in ``damaged`` and return ``None``."""
        try:
            return self.sealer.unseal(sealed, kind, *bound)
        except SealError:
            self.damaged.add(place._replace(owner=str(place.owner)))
            return None

    def scan(self) -> list[Damage]:
        """Return every record of the file, of whatever kind, that does not open."""
        return [
            Damage(kind if kind in KINDS else "template", row, owner if isinstance(owner, str) else "")
            for table, query in SEALED.items()
            if self.has_table(table)
            for row, kind, owner, sealed, *bound in self.execute(query).fetchall()
            if not self.sealer.opens(sealed, *bound)
        ]

"""Check a release's provenance against in-toto's and SLSA's own definitions: ``check_provenance.py FILE``.

It runs with constraints/release.txt. Every file that the statement names must lie beside it, with that digest.
"""

import hashlib
import json
import sys
from pathlib import Path

from google.protobuf.json_format import ParseDict, ParseError
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as Message


def main() -> None:
    """Say what is wrong, if anything is."""
    file = Path(sys.argv[1])
    document = json.loads(file.read_bytes())
    try:
        Statement.copy_from_pb(ParseDict(document, Message())).validate()
        found = ParseDict(document["predicate"], Provenance())
    except (ValueError, ParseError) as error:
        sys.exit(f"check_provenance: {file.name}: {error}")
    if not found.build_definition.build_type or not found.run_details.builder.id:
        sys.exit(f"check_provenance: {file.name}: neither buildType nor builder.id may be empty")
    for subject in document["subject"]:
        if hashlib.sha256((file.parent / subject["name"]).read_bytes()).hexdigest() != subject["digest"]["sha256"]:
            sys.exit(f"check_provenance: {subject['name']} has another digest than {file.name} says")


if __name__ == "__main__":
    main()

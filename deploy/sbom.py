"""Write the bill of materials of a Debian package, in CycloneDX: ``sbom.py SITE-PACKAGES FILE``, with constraints/sbom.txt.

The Python packages that are in it, by their own metadata, and the networks, with licence and SHA-256. It is checked against the
schema before it is written.
"""

import hashlib
import os
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import Distribution, distributions
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

NETWORKS = {
    "encoder.tflite": ("edgeface encoder", "Apache-2.0"),
    "decoder.tflite": ("edgeface decoder", "Apache-2.0"),
    "landmarks.tflite": ("edgeface landmarks", "Apache-2.0"),
    "pad.tflite": ("edgeface liveness", "Apache-2.0"),
    "yunet_stem.onnx": ("YuNet, stem", "MIT"),
    "yunet_heads.onnx": ("YuNet, heads", "MIT"),
}
"""By file in edgeface/models, as SOURCES.md there has it: edgeface's autoencoder, landmarks and liveness, and YuNet."""


def main() -> None:
    """Write the document, or say what is wrong with it."""
    site, file = Path(sys.argv[1]), Path(sys.argv[2])
    packages = {found.metadata["Name"]: found for found in distributions(path=[str(site)])}
    ours = _package(packages.pop("edgeface"), ComponentType.APPLICATION)
    bom = Bom(components=[*map(_package, packages.values()), *_networks(site)])
    bom.metadata.component = ours
    bom.register_dependency(ours, bom.components)
    bom.metadata.timestamp = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC)
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_OID, repr(sorted(map(repr, bom.components))))  # the same for the same package
    text = JsonV1Dot6(bom).output_as_string(indent=1)
    if wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        sys.exit(f"sbom: {wrong}")
    file.write_text(f"{text}\n")


def _package(found: Distribution, kind: ComponentType = ComponentType.LIBRARY) -> Component:
    about = found.metadata
    licence = about.get("License-Expression") or _classified(about.get_all("Classifier") or []) or about.get("License")
    return Component(
        type=kind,
        name=about["Name"],
        version=about["Version"],
        bom_ref=f"{about['Name']}=={about['Version']}",
        licenses=[LicenseFactory().make_from_string(licence.strip().splitlines()[0])] if licence and licence.strip() else [],
        purl=PackageURL("pypi", name=about["Name"].lower().replace("_", "-"), version=about["Version"]),
    )


def _classified(classifiers: list[str]) -> str:
    return "; ".join(line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License ::"))


def _networks(site: Path) -> Iterator[Component]:
    for name, (title, licence) in NETWORKS.items():
        digest = hashlib.sha256((site / "edgeface/models" / name).read_bytes()).hexdigest()
        yield Component(
            type=ComponentType.MACHINE_LEARNING_MODEL,
            name=title,
            version=digest[:12],
            bom_ref=f"edgeface/models/{name}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
            licenses=[LicenseFactory().make_from_string(licence)],
        )


if __name__ == "__main__":
    main()

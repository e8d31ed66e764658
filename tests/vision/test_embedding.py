import base64
import hashlib
import json
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeface import detectors
from edgeface.errors import ModelError
from edgeface.types import Image
from edgeface.vision.alignment import align
from edgeface.vision.embedding import Embedder
from edgeface.vision.images import load_image
from edgeface.vision.model_card import SHIPPED, read_network
from edgeface.vision.tflite import interpreter

# Outputs of the right sizes, 128 and 32 numbers, but computed in float32 from a float32 picture.
FLOAT_NETWORK = zlib.decompress(
    base64.b85decode(
        """
c-nPU&rcIk5T3S6yOdh1uFykGdf;TBQZODoiHL!O9|jxafn;6VMK+ejv<o4gJP^-nj3;9}5aYoEG5!Vo0h~Bs!oheXoD2tp(Di%!W|!?!Uh`#l=goZc<IS5E
h^TUZYDA+V6(~;{<tPK0N($ZyGNL!YFW_;UXc5>=5+(2*0~Fxs*mX0kI|W<>nr36wvY+WSbHP}tI~3=Ap}!0LG`|aur@#SZYDi{;`0ut{*O#vWf@^^H`cGW<
0>57Y#%5<8jn6%toSo69$19`vMk}K<aU$dMb(Sn!Z>-pkwPfn6W}|5>+mwaefrC0w0d4{sa0vMh@B{b;YycmD_d=gJe{+0KfE>xCf>G2^Wm&%`O?t8<+liG4
YOZ*7e|v5F=O3~!Cpb^VvmzQU4VOzpL^H1RB{<8aTS649!z0)I3mgOV&vjphbcySiW8M#;y;ua_JJ{V}yY0wcc<u9^$~MIgIs1FBL@g2HS3va3^wi{BactSf
c{paR<mqUheKx3&;K{OF^imE=d7u!J+)IXK6Z_fZUh(_nlPh~5oNt<Q>gMM==x|;|;Uf>MLl)znj<K$Pb_qV4F7GQH#F+NZwcVG>K2rQG^3pt=4E1ncdG=l4
+NsRv*UXP06^TLN7~-6h8u%b^6YXJR9T)%(u(1KuxNbXqzbBYy0e3~1=Q#czj^zR5m&DU(IF^GOW7fuudi{2p{rczqC1RiUXUK^>=cd!JYGzGu)~%|kmxKEr
?#=xOM>litoD;)PC<f72*IVuOD#xI;<g93mAvANseZIvU8uwdDmNPEy@jUkW&gOEX=@`}L$jP5uNw=LN$s8h<&n;OGqhUFVrRuT`W7`=yop}-4u8{vd*j|nL
54@kw&DRkQCFH;8cJe<Q*ltB^6CvCAj<z!IxTn_Z{g?FdjgTt^sT?OhXFSBY3C`>pPHN-K2RG(?&KS>H#rw&5ANeoR*U&NknZIE8^R~$OA0i&+?#+02R8AIg
uLq@k@IO?+A?N
""".replace("\n", "")
    )
)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


@pytest.fixture(scope="module")
def chips(demo_photos: Path, photos: Path) -> dict[str, Image]:
    detector = detectors.create()
    paths = [*demo_photos.glob("*.jpg"), photos / "obama_blue_room.jpg"]
    images = {path.stem: load_image(path) for path in paths}
    return {name: align(image, detector.detect(image)[0].landmarks) for name, image in images.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(SHIPPED, tmp_path / "model")


def certify(folder: Path, **networks: Any) -> None:
    """Put other networks into the folder, with a card that vouches for them."""
    card = json.loads((folder / "model.json").read_text())
    for name, data in networks.items():
        (folder / card[name]["file"]).write_bytes(data)
        card[name] |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (folder / "model.json").write_text(json.dumps(card))


def refusal(folder: Path, act: type[Embedder] | Callable[..., Image] = Embedder) -> str:
    with pytest.raises(ModelError) as caught:
        act(folder)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def cosine(embedder: Embedder, one: Image, other: Image) -> float:
    return float(embedder.embed(one).vector @ embedder.embed(other).vector)


def test_an_embedding_is_a_unit_vector_of_the_cards_length(embedder: Embedder, chips: dict[str, Image]) -> None:
    for chip in chips.values():
        found = embedder.embed(chip)
        assert found.vector.shape == (embedder.card.identity,)
        assert found.vector.dtype == np.float32
        assert np.linalg.norm(found.vector) == pytest.approx(1.0, abs=1e-5)
        assert found.norm > 0


def test_the_same_chip_gives_the_same_bits(embedder: Embedder, chips: dict[str, Image]) -> None:
    for chip in chips.values():
        first = embedder.embed(chip).vector
        embedder.embed(np.asarray(255 - chip, np.uint8))
        assert embedder.embed(chip).vector.tobytes() == first.tobytes() == Embedder().embed(chip).vector.tobytes()


def test_a_chip_is_not_changed_by_being_embedded(embedder: Embedder, chips: dict[str, Image]) -> None:
    chip = chips["obama_portrait"].copy()
    embedder.embed(chip)
    embedder.rebuild(chip)
    assert np.array_equal(chip, chips["obama_portrait"])


def test_a_mirrored_face_is_the_same_face(embedder: Embedder, chips: dict[str, Image]) -> None:
    for chip in chips.values():
        mirrored = np.ascontiguousarray(chip[:, ::-1])
        assert np.allclose(embedder.template(mirrored).vector, embedder.template(chip).vector, atol=1e-5)
        assert embedder.template(chip).vector @ embedder.embed(chip).vector > 0.9


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("obama_portrait", "obama_press_room"),
        ("obama_congress", "obama_press_room"),
        ("obama_portrait", "obama_congress"),
        ("biden_portrait", "biden_blue_room"),
    ],
)
def test_a_person_is_nearer_to_themselves_than_to_anybody_else(
    embedder: Embedder, chips: dict[str, Image], one: str, other: str
) -> None:
    same = cosine(embedder, chips[one], chips[other])
    person = one.split("_", maxsplit=1)[0]
    for name, chip in chips.items():
        if not name.startswith(person):
            assert cosine(embedder, chips[one], chip) < same, name


def test_faces_of_one_sitting_are_over_the_strictest_threshold_and_strangers_under_a_loose_one(
    embedder: Embedder, chips: dict[str, Image]
) -> None:
    assert cosine(embedder, chips["obama_blue_room"], chips["obama_portrait"]) > embedder.card.threshold(1e-4)
    for name, chip in chips.items():
        if not name.startswith("collins"):
            assert cosine(embedder, chips["collins_portrait"], chip) < embedder.card.threshold(1e-2), name


def test_a_little_noise_or_a_shift_of_a_pixel_changes_little(embedder: Embedder, chips: dict[str, Image]) -> None:
    noise = np.random.default_rng(0).normal(0, 4, (112, 112, 3))
    for chip in chips.values():
        noisy = np.clip(chip + noise, 0, 255).astype(np.uint8)
        assert cosine(embedder, chip, noisy) > 0.8
        assert cosine(embedder, chip, np.roll(chip, 1, axis=1)) > 0.8


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_every_tensor_of_the_networks_is_an_integer(embedder: Embedder, part: str) -> None:
    network, _ = interpreter(read_network(SHIPPED, getattr(embedder.card, part)))
    kinds = {np.dtype(tensor["dtype"]) for tensor in network.get_tensor_details() if tensor["name"]}
    assert np.dtype(np.int8) in kinds
    assert all(np.issubdtype(kind, np.integer) for kind in kinds), kinds


def test_pixels_go_into_the_encoder_as_they_are(embedder: Embedder) -> None:
    network, _ = interpreter(read_network(SHIPPED, embedder.card.encoder))
    (given,) = network.get_input_details()
    assert given["dtype"] is np.uint8
    assert given["quantization"] == (1.0, 0)


def test_a_rebuilt_face_is_more_like_itself_than_like_another(embedder: Embedder, chips: dict[str, Image]) -> None:
    chips = {name: chip for name, chip in chips.items() if name != "obama_blue_room"}  # all but the portrait again
    small = {name: cv2.resize(chip, (56, 56), interpolation=cv2.INTER_AREA).astype(np.float32) for name, chip in chips.items()}
    for name, chip in chips.items():
        rebuilt = embedder.rebuild(chip)
        assert (rebuilt.shape, rebuilt.dtype) == ((56, 56, 3), np.dtype(np.uint8))
        similarity = {other: np.corrcoef(rebuilt.ravel(), picture.ravel())[0, 1] for other, picture in small.items()}
        assert max(similarity, key=lambda other: similarity[other]) == name


def test_a_template_is_a_face(embedder: Embedder, chips: dict[str, Image]) -> None:
    """What the decoder draws of a template alone, the encoder takes for that person before any other."""
    names = ["obama_portrait", "biden_portrait", "collins_portrait"]
    templates = np.stack([embedder.template(chips[name]).vector for name in names])
    drawn = [cv2.resize(embedder.draw(template), (112, 112), interpolation=cv2.INTER_CUBIC) for template in templates]
    assert [int(np.argmax(templates @ embedder.embed(np.asarray(face, np.uint8)).vector)) for face in drawn] == [0, 1, 2]


@pytest.mark.parametrize("file", ["model.json", "encoder.tflite"])
def test_a_missing_file_is_named(folder: Path, file: str) -> None:
    (folder / file).unlink()
    assert refusal(folder).startswith(str(folder / file))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "absent") in refusal(tmp_path / "absent")


@pytest.mark.parametrize("card", [b"", b"{}", b"[1]", b"\xff\xfe", b'{"name": 3}', b"[" * 100_000])
def test_a_card_that_is_none_is_refused(folder: Path, card: bytes) -> None:
    (folder / "model.json").write_bytes(card)
    assert "model.json" in refusal(folder)


def test_another_network_than_the_cards_is_refused(folder: Path) -> None:
    data = bytearray((folder / "encoder.tflite").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "encoder.tflite").write_bytes(data)
    assert "digest" in refusal(folder)


def test_another_decoder_than_the_cards_is_refused_when_it_is_needed(folder: Path, chips: dict[str, Image]) -> None:
    (folder / "decoder.tflite").write_bytes(b"other")
    embedder = Embedder(folder)
    assert "digest" in refusal(folder, lambda _: embedder.rebuild(chips["obama_portrait"]))


@pytest.mark.parametrize("data", [b"", b"no network", bytes(5000)])
def test_bytes_that_are_no_network_are_refused(folder: Path, data: bytes) -> None:
    certify(folder, encoder=data)
    refusal(folder)


def test_a_truncated_network_is_refused_before_the_runtime_sees_it(folder: Path) -> None:
    (folder / "encoder.tflite").write_bytes((folder / "encoder.tflite").read_bytes()[:1000])
    assert "digest" in refusal(folder)


def test_a_network_of_another_shape_is_refused(folder: Path) -> None:
    certify(folder, encoder=(folder / "decoder.tflite").read_bytes())
    assert "encoder.tflite" in refusal(folder)


def test_a_network_in_float_is_refused(folder: Path) -> None:
    certify(folder, encoder=FLOAT_NETWORK)
    assert "encoder.tflite" in refusal(folder)


def test_a_decoder_of_another_shape_is_refused(folder: Path, chips: dict[str, Image]) -> None:
    certify(folder, decoder=(folder / "encoder.tflite").read_bytes())
    refusal(folder, lambda model: Embedder(model).rebuild(chips["obama_portrait"]))


@pytest.mark.skipif(find_spec("tflite_runtime") is None, reason="tflite-runtime is not installed")
def test_both_runtimes_say_the_same(tmp_path: Path) -> None:
    # in a process of its own: beside TensorFlow, tflite-runtime loads nothing
    chip = np.random.default_rng(0).integers(0, 256, (112, 112, 3)).astype(np.uint8)
    np.save(tmp_path / "chip.npy", chip)
    program = """if True:
        import sys
        import numpy as np
        from edgeface.vision import tflite as runtime
        runtime.RUNTIMES = {"tflite-runtime": runtime.RUNTIMES["tflite-runtime"]}
        from edgeface.vision.embedding import Embedder
        embedder = Embedder()
        assert embedder.runtime == "tflite-runtime"
        np.save(sys.argv[2], embedder.embed(np.load(sys.argv[1])).vector)
    """
    subprocess.run([sys.executable, "-c", program, tmp_path / "chip.npy", tmp_path / "vector.npy"], check=True, timeout=60)
    assert np.load(tmp_path / "vector.npy") @ Embedder().embed(chip).vector > 0.99

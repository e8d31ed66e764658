"""Write the letters that edgeface draws on pictures, from DejaVu Sans, which matplotlib brings: ``python deploy/font.py``.

They stand side by side in edgeface/vision/font.png. font.json has the characters, how wide each is, and the height of the line.
"""

import json
import shutil
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE, PAD, LEVELS = 32, 3, 15
RANGES = ((0x20, 0x7E), (0xA1, 0x17F), (0x218, 0x21B), (0x384, 0x3CE), (0x400, 0x45F), (0x490, 0x491), (0x1EA0, 0x1EF9))
SIGNS = "–—‘’“”„…•€−≥≤"  # noqa: RUF001  # a dash, a quote and a minus sign are meant
FOLDER = Path(__file__).parent.parent / "edgeface" / "vision"


def main() -> None:
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    font = ImageFont.truetype(str(fonts / "DejaVuSans.ttf"), SIZE)
    wanted = sorted({chr(code) for first, last in RANGES for code in range(first, last + 1)} | set(SIGNS))
    missing = font.getmask("\uffff").getbbox(), bytes(font.getmask("\uffff"))
    characters = [one for one in wanted if one == " " or (font.getmask(one).getbbox(), bytes(font.getmask(one))) != missing]
    ascent, descent = font.getmetrics()
    cells, advances = [], []
    for character in characters:
        advance = round(font.getlength(character))
        cell = Image.new("L", (advance + 2 * PAD, ascent + descent), 0)
        ImageDraw.Draw(cell).text((PAD, 0), character, fill=255, font=font)
        cells.append(np.rint(np.asarray(cell) / 255 * LEVELS) * 255 / LEVELS)
        advances.append(advance)
    cv2.imwrite(str(FOLDER / "font.png"), np.hstack(cells).astype(np.uint8), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    about = {"characters": "".join(characters), "advances": advances, "pad": PAD, "capital": _capital(font)}
    (FOLDER / "font.json").write_text(json.dumps(about, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    shutil.copy(fonts / "LICENSE_DEJAVU", FOLDER / "font.LICENSE")


def _capital(font: ImageFont.FreeTypeFont) -> list[int]:
    """Return top and bottom of a capital letter in the line."""
    _, top, _, bottom = font.getbbox("H")
    return [round(top), round(bottom)]


if __name__ == "__main__":
    main()

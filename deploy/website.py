"""Build the site of the documentation: ``.venv/bin/python deploy/website.py FOLDER``, in "Test it".

The pages are the README and docs/ as they are, so that a link leads to the same place here and in a clone. The build fails at a
link or an anchor that leads nowhere. The site itself loads nothing from elsewhere.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
UV = (sys.executable, "-m", "uv", "--quiet")
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")


def main() -> None:
    """Build it."""
    out = Path(sys.argv[1]).resolve()
    with TemporaryDirectory(prefix="edgeface-site-") as folder:
        work = Path(folder)
        run(*UV, "venv", "--python", sys.executable, work / "tools")
        locked = ("--require-hashes", "-r", HERE / "constraints/site.txt")
        run(*UV, "pip", "install", "--no-config", "--python", work / "tools", *locked)
        stage(work / "pages")
        shutil.copy(HERE / "website.yml", work / "mkdocs.yml")
        run(work / "tools/bin/mkdocs", "build", "--strict", "--config-file", work / "mkdocs.yml", "--site-dir", out)


def stage(pages: Path) -> None:
    """Copy the pages, and what they link to, each to its own place."""
    waiting = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "examples/README.md"]
    done: set[Path] = set()
    while waiting:
        file = waiting.pop()
        if file in done:
            continue
        done.add(file)
        place = pages / file.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix != ".md":
            shutil.copy(file, place)
            continue
        text = file.read_text()
        place.write_text(LINK.sub(lambda link, file=file: _resolved(link, file), text))
        targets = [(file.parent / link[3]).resolve() for link in LINK.finditer(text)]
        targets = [target / "README.md" if target.is_dir() else target for target in targets]
        waiting += [target for target in targets if target.is_file()]


def _resolved(link: re.Match[str], file: Path) -> str:
    """The link, to a folder's README where it names the folder; its text, where there is none."""
    target = file.parent / link[3]
    if not target.is_dir():
        return link[0]
    return f"[{link[2]}]({link[3]}/README.md)" if (target / "README.md").exists() else link[2]


def run(*command: str | Path) -> None:
    """Run a command, or end with what it says."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"website: {Path(str(command[0])).name} failed with {done.returncode}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()

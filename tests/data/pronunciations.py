"""Makes `engine/cascade/assets/pronunciations.tsv.xz` from misaki's two American dictionaries.

    pip download --no-deps --ignore-requires-python misaki==0.9.4
    python -m tests.data.pronunciations misaki-0.9.4-py3-none-any.whl

misaki itself says that it needs Python < 3.13, although its dictionaries are plain data; so they
travel with this project and misaki does not. Both are Apache-2.0.
"""

import json
import lzma
import sys
import zipfile
from pathlib import Path

import engine.cascade.phonemes

INTO = Path(engine.cascade.phonemes.__file__).parent / "assets" / "pronunciations.tsv.xz"


def merged(wheel: Path) -> dict[str, str]:
    """The machine-made dictionary and, over it, the hand-checked one."""
    words: dict[str, str] = {}
    with zipfile.ZipFile(wheel) as archive:
        for name in ("us_silver.json", "us_gold.json"):
            for word, sounds in json.loads(archive.read(f"misaki/data/{name}")).items():
                chosen = sounds if isinstance(sounds, str) else sounds.get("DEFAULT")
                if chosen:
                    words[word] = chosen
    return words


if __name__ == "__main__":
    lines = (f"{word}\t{sounds}\n" for word, sounds in sorted(merged(Path(sys.argv[1])).items()))
    INTO.write_bytes(lzma.compress("".join(lines).encode(), preset=9 | lzma.PRESET_EXTREME))

"""README's tree names what is there, and every folder that is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
NAMED = re.compile(r"(?<![\w/.-])([\w./-]+(?:/|\.py|\.md))(?![\w-])")


def test_the_tree_names_what_is_there() -> None:
    """Each path of the tree exists, below the folder under which it is indented."""
    tree = README.partition("## Where everything is")[2].split("```")[1]
    folders: dict[int, Path] = {}
    seen = 0
    for line in filter(None, tree.splitlines()):
        depth = len(line) - len(line.lstrip())
        above = folders[max(key for key in folders if key < depth)] if depth else ROOT
        folders = {key: folder for key, folder in folders.items() if key < depth}
        folders[depth] = above / line.split()[0]
        for name in NAMED.findall(line):  # in this folder, beside it, or from the top
            assert any((place / name).exists() for place in (folders[depth], above, ROOT)), name
            seen += 1
    assert seen > 30


def test_every_folder_of_the_contact_center_is_in_the_tree() -> None:
    """Nobody has to guess what a folder is for."""
    tree = README.partition("## Where everything is")[2]
    packages = [folder.parent.name for folder in (ROOT / "callcenter").glob("*/__init__.py")]
    assert len(packages) > 10
    assert [name for name in packages if f" {name}/" not in tree] == []


def test_links_lead_somewhere() -> None:
    """Every relative link of every README."""
    for page in [ROOT / "README.md", *ROOT.glob("[a-z]*/**/README.md")]:
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.relative_to(ROOT)}: {link}"

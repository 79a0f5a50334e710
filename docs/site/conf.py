"""The documentation as a site: `make site` writes it to build/site. Read by Sphinx.

The pages are those that GitHub shows. What a site needs beside them is added here while it is
built: the table of contents, and the address of files that are not pages.
"""

import re
import tomllib
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

project = PROJECT["name"]
author = "the vcproxy developers"
release = PROJECT["version"]

extensions = ["myst_parser", "sphinxcontrib.mermaid"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["site"]
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]

html_theme = "furo"
html_title = f"{project} {release}"
html_theme_options = {
    "source_repository": PROJECT["urls"]["Source"],
    "source_branch": "main",
    "source_directory": "docs/",
}

CONTENTS = """
```{toctree}
:hidden:

tutorial
glossary
```
"""

FOLDER = """
```{{toctree}}
:hidden:
:glob:
:caption: {caption}

{folder}/*
```
"""

FOLDERS = {
    "how-to": "How to",
    "migration": "Coming from another proxy",
    "cookbook": "Cookbook",
    "reference": "Reference",
    "design": "Design",
    "bench": "Benchmarks",
    "releases": "Releases",
}

_OUTSIDE = re.compile(r"\]\((?:\.\./)+((?!docs/)[^)#]+)([^)]*)\)")
"""A link that may lead out of docs/."""


def complete(app: Sphinx, page: str, source: list[str]) -> None:
    """Add the contents to the first page; have links to other files lead to the repository."""
    folder = (ROOT / "docs" / page).parent

    def outside(link: re.Match[str]) -> str:
        path = (folder / link[0].partition("(")[2].partition("#")[0].rstrip(")")).resolve()
        if path.is_relative_to(ROOT / "docs"):
            return link[0]
        place = path.relative_to(ROOT)
        return f"]({PROJECT['urls']['Source']}/blob/main/{place}{link[2]})"

    source[0] = _OUTSIDE.sub(outside, source[0])
    if page == "index":
        source[0] += CONTENTS
        for name, caption in FOLDERS.items():
            source[0] += FOLDER.format(caption=caption, folder=name)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", complete)

"""folder: files of a folder, for GET and HEAD.

Ranges, entity tags and conditional requests are those of RFC 9110. Nothing outside of the folder is
ever sent, however a path is spelled. Tested in tests/http/duties/test_folder.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator

from vcproxy.config.positions import KeyPath
from vcproxy.config.values import FilePath
from vcproxy.http.duties.duty import Duty
from vcproxy.http.option_texts import Value

if TYPE_CHECKING:
    from vcproxy.http.duties.folder_phases import FolderPhases

Coding = Literal["br", "zstd", "gzip"]


def _name(text: str) -> str:
    if not text or "/" in text or text in (".", "..") or "\0" in text:
        raise ValueError(f"{text!r} is not the name of a file: it has no slash")
    return text


def _path(text: str) -> str:
    if not {"", ".", ".."}.isdisjoint(text.split("/")) or "\0" in text:
        raise ValueError(f'{text!r} is not a path below the folder: write it as "app/index.html"')
    return text


def _extension(text: str) -> str:
    if not text or text.startswith(".") or "/" in text or text != text.lower():
        raise ValueError(f'"{text}" is not an extension in lower case without the dot, as "html"')
    return text


@dataclass(frozen=True)
class Folder(Duty):
    """Files of a folder. The path of a request below that of its route is the path of the file."""

    root: FilePath
    """The folder. It may be a symlink; symlinks in it are followed only to what is below it."""

    index: tuple[Annotated[str, AfterValidator(_name)], ...] = ("index.html",)
    """Names of files of which the first that exists is sent for a directory. Directories are never
    listed."""

    fallback: Annotated[str, AfterValidator(_path)] | None = None
    """The file that is sent, with 200, where there is none: of an application that runs in the
    browser and has paths of its own, "index.html". Left out: 404."""

    precompressed: tuple[Coding, ...] = ()
    """Content codings of which compressed files are sent where they exist beside a file and the
    client accepts them, the first that does: for a.css as "br" a.css.br, as "zstd" a.css.zst, as
    "gzip" a.css.gz. They must be made anew when the file changes."""

    dot_files: bool = False
    """Whether files and directories whose names begin with a dot are sent, as .git or .env.
    ".well-known" always is (RFC 8615)."""

    types: dict[Annotated[str, AfterValidator(_extension)], Value] = field(default_factory=dict)
    """Media types by extension, as glb = "model/gltf-binary", beside those that are known."""

    default_type: Value = "application/octet-stream"
    """The media type of files with another extension, or none."""

    @property
    def answers(self) -> bool:
        """See Duty."""
        return True

    def phases(self) -> FolderPhases:
        """See Duty."""
        from vcproxy.http.duties.folder_phases import FolderPhases  # most proxies send no files

        return FolderPhases(self)

    def warnings(self) -> Iterator[tuple[KeyPath, str]]:
        """Yield what `-t` warns of."""
        if not self.root.is_dir():
            yield ("root",), f"{self.root} is not a directory that this user can see: all get 404"

"""FolderPhases: answers requests with the files of a folder.

Tested in tests/http/duties/test_folder.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from vcproxy.http.duties.duty import ASKED, DutyPhases
from vcproxy.http.files.file_response import FileResponse, respond_to, whole
from vcproxy.http.files.media_types import media_type
from vcproxy.http.files.open_files import OpenFile, OpenFiles
from vcproxy.http.files.requested_file import RequestedFile, requested_file
from vcproxy.http.message.accept_encoding import IDENTITY, preferred_coding
from vcproxy.http.message.messages import Response
from vcproxy.http.message.resource import canonical_path

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.http.duties.folder import Folder
    from vcproxy.http.message.messages import Request
    from vcproxy.http.proxy.transaction import Transaction

SUFFIXES: Final[dict[str, str]] = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}
"""What the name of a compressed file ends with, by its content coding."""

MOST_KNOWN: Final = 1000
"""Targets whose paths are remembered: the pages of a site, in less than a MiB."""

LONGEST_KNOWN: Final = 256
"""Characters of what is remembered of one request."""


class FolderPhases(DutyPhases):
    """Answers requests with files. It is asked once the route is known and no filter has answered:
    see `vcproxy.http.proxy.file_sending`."""

    options: Folder

    def __init__(self, options: Folder) -> None:
        super().__init__(options)
        self._files: OpenFiles | None = None
        self._known: dict[tuple[str, str, str | None], tuple[str, ...]] = {}
        """The paths for a target, the path of its route, and what the client accepts."""

    def begin(self, tx: Transaction, user: Continuation) -> OpenFile | Response:
        """Return the response to a request for which no file is needed, or the file that is needed,
        held for `user`: see OpenFile."""
        request = tx.request
        if request.method not in ("GET", "HEAD"):
            return _refused(405, {"Allow": "GET, HEAD"})
        accepted = request.fields.get("Accept-Encoding") if self.options.precompressed else None
        key = request.target, "/" if tx.route is None else tx.route.path, accepted
        paths = self._known.get(key)
        if paths is None:
            wanted = self._wanted(tx)
            if wanted is None:
                return _refused(404)
            if not (wanted.path or wanted.directory):  # the path of the route, without a slash
                return _directory(tx)
            paths = self._paths(wanted, request)
            if len(request.target) + len(accepted or "") <= LONGEST_KNOWN:
                if len(self._known) >= MOST_KNOWN:
                    self._known.clear()
                self._known[key] = paths
        return self._use(user, paths)

    def ready(self, tx: Transaction, user: Continuation, file: OpenFile) -> OpenFile | Response:
        """Return the response with a file that is ready, or another file that is needed, held for
        `user`: then `file` is not used any more."""
        request, refused = tx.request, file.refused
        if refused is None:
            response = file.response
            if response is None:
                response = file.response = self._whole(file)
            return respond_to(request, response, self._boundary)
        wanted = self._wanted(tx)
        assert wanted is not None
        if refused.why == "directory" and not wanted.directory:
            return _directory(tx)
        if refused.why in ("denied", "outside", "special"):
            return _refused(403)
        if refused.why == "failed":
            return _refused(503)
        fallback = self.options.fallback
        if fallback is not None and fallback not in file.key:
            return self._use(user, self._variants((fallback,), request))
        return _refused(404)

    def _wanted(self, tx: Transaction) -> RequestedFile | None:
        prefix = "/" if tx.route is None else tx.route.path
        return requested_file(tx.request.path, prefix, dot_files=self.options.dot_files)

    def _use(self, user: Continuation, paths: tuple[str, ...]) -> OpenFile:
        files = self._files
        if files is None:
            files = self._files = OpenFiles(self.engine, self.listener, str(self.options.root))
        return files.use(user, paths)

    def _paths(self, wanted: RequestedFile, request: Request) -> tuple[str, ...]:
        """Return the paths of which the first that is a file is sent."""
        if wanted.directory:
            above = f"{wanted.path}/" if wanted.path else ""
            return self._variants(tuple(f"{above}{name}" for name in self.options.index), request)
        return self._variants((wanted.path,), request)

    def _variants(self, paths: tuple[str, ...], request: Request) -> tuple[str, ...]:
        """Return the paths, each after that of the compressed file which the client prefers."""
        if not self.options.precompressed:
            return paths
        accepted = request.fields.get("Accept-Encoding")
        coding = preferred_coding(accepted, self.options.precompressed)
        if coding == IDENTITY:
            return paths
        suffix = SUFFIXES[coding]
        return tuple(each for path in paths for each in (path + suffix, path))

    def _whole(self, file: OpenFile) -> FileResponse:
        """Return the response that has all of a file."""
        options, facts = self.options, file.facts
        assert facts is not None
        path = file.key[facts.found]
        coding = ""
        if len(file.key) > 1 and facts.found + 1 < len(file.key):
            for name, suffix in SUFFIXES.items():
                if path == file.key[facts.found + 1] + suffix:
                    path, coding = file.key[facts.found + 1], name
        fields = {"Content-Type": media_type(path, options.types, options.default_type)}
        if coding:
            fields["Content-Encoding"] = coding
        if options.precompressed:
            fields["Vary"] = "Accept-Encoding"
        return whole(file.source, facts, fields, coding, self.engine.wall)

    def _boundary(self) -> str:
        """Return the boundary of a multipart body: as nobody can foresee it, no file has it."""
        return f"{self.engine.random.getrandbits(96):024x}"


def _directory(tx: Transaction) -> Response:
    """Return the redirect to the path of a directory, with a slash at its end: relative links of
    its page count from there. It is the path that the client has sent, before `rewrite`; as a
    canonical path begins with one slash, it names no host."""
    path, query = tx.request.path, tx.request.query
    asked = tx.notes.get(ASKED)
    if isinstance(asked, str):
        path = canonical_path(asked.partition("?")[0])
    return _refused(301, {"Location": f"{path.rstrip('/')}/{'?' if query else ''}{query}"})


def _refused(status: int, fields: Mapping[str, str] | None = None) -> Response:
    """Return a response without a file."""
    text = f"{status} {HTTPStatus(status).phrase}\n"
    named = {"Content-Type": "text/plain; charset=utf-8", **(fields or {})}
    return Response(status, named, text.encode())

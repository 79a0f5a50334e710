"""Check whether this checkout can be released: `make release-check`; --deb: also the package.

Each check is a function whose docstring is printed; the first one that fails ends the run with what
to do. docs/design/release.md has the steps around it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[1]
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


class NotReady(Exception):
    """The text says what is wrong, and what to do."""


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a program; return its output. Raises NotReady if it fails."""
    done = subprocess.run(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise NotReady(f"{' '.join(map(str, command))} failed:\n{done.stdout[-4000:]}")
    return done.stdout


def versions(_: Path) -> None:
    """the changelogs, the release notes and pyproject.toml have the same version, with a date"""
    if problems := version_problems(ROOT):
        raise NotReady("\n".join(problems))


def version_problems(root: Path) -> list[str]:
    """Return what is missing for the version of a checkout."""
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    dated = rf"## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)"
    problems = []
    heading = re.search(r"^## .*", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    if heading is None or not re.fullmatch(dated, heading[0]):
        found = heading[0] if heading else "nothing"
        problems.append(f'CHANGELOG.md begins with "{found}": write "## {version} (YYYY-MM-DD)"')
    if not (root / "docs" / "releases" / f"{version}.md").exists():
        problems.append(f"docs/releases/{version}.md is missing: write the release notes")
    debian = (root / "packaging" / "debian" / "changelog").read_text().partition("\n")[0]
    if not re.match(rf"vcproxy \({re.escape(version)}-\d+\) (?!UNRELEASED)\S", debian):
        problems.append(f'packaging/debian/changelog begins with "{debian}": run dch --release')
    return problems


def commits(_: Path) -> None:
    """everything is committed, and the tag does not exist"""
    if changed := run("git", "status", "--porcelain"):
        raise NotReady(f"commit or remove these first:\n{changed}")
    if run("git", "tag", "--list", f"v{VERSION}"):
        raise NotReady(f"the tag v{VERSION} exists: change the version in pyproject.toml")


def generated(_: Path) -> None:
    """the generated pages are current"""
    run(sys.executable, "-m", "tests.docs.generated")
    if changed := run("git", "status", "--porcelain"):
        raise NotReady(f"`make docs` has changed these: commit them\n{changed}")


def archives(folder: Path) -> None:
    """the wheel and the source archive are built, and twine accepts them"""
    run(sys.executable, "-m", "build", "--outdir", folder)
    run(sys.executable, "-m", "twine", "check", "--strict", *folder.iterdir())


def source_archive(folder: Path) -> None:
    """the source archive has what the wheel is built from: a wheel from it has the same files"""
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    for needed in ("LICENSE", "README.md", "pyproject.toml", "packaging/man/vcproxy.1"):
        if needed not in names:
            raise NotReady(f"{needed} is not in {archive.name}: name it in MANIFEST.in")
    # `build` makes the wheel from the source archive, not from the checkout.
    (wheel,) = folder.glob("*.whl")
    there = {name for name in ZipFile(wheel).namelist() if name.startswith("vcproxy/")}
    tracked = run("git", "ls-files", "vcproxy", "tunnels", "plugins").splitlines()
    here = {re.sub("^(tunnels|plugins)/", r"vcproxy/\1/", name) for name in tracked}
    if missing := sorted(name for name in here - there if name.endswith(".py")):
        raise NotReady(f"not in {wheel.name}: {', '.join(missing)}")


def installation(folder: Path) -> None:
    """the wheel runs in a new environment"""
    (wheel,) = folder.glob("*.whl")
    run(sys.executable, "-m", "venv", folder / "venv")
    run(folder / "venv/bin/pip", "install", "--quiet", wheel)
    program = folder / "venv/bin/vcproxy"
    shown = run(program, "--version", cwd=folder)
    if not shown.startswith(f"vcproxy {VERSION} "):
        raise NotReady(f"vcproxy --version prints {shown.strip()}")
    run(program, "-t", "-c", ROOT / "conf" / "http-reverse.toml", cwd=folder)


def debian_package(folder: Path) -> None:
    """the Debian package is built, lintian finds no fault, and its program runs"""
    copy = folder / "debian" / "vcproxy"
    copy.mkdir(parents=True)
    archive = folder / "sources.tar"
    run("git", "archive", "--output", archive, "HEAD")
    run("tar", "xf", archive, "-C", copy)
    shutil.copytree(copy / "packaging" / "debian", copy / "debian")
    run("dpkg-buildpackage", "-b", "-us", "-uc", "-d", cwd=copy)
    (package,) = copy.parent.glob("*.deb")
    run("lintian", "--allow-root", "--fail-on", "error,warning", package)
    run("dpkg-deb", "-x", package, folder / "root")
    (packages,) = folder.glob("root/usr/lib/vcproxy/lib/python3.*/site-packages")
    check = f"PYTHONPATH={packages} /usr/bin/python3 -m vcproxy -t -c "
    run("sh", "-c", check + str(folder / "root/etc/vcproxy/proxy.toml"), cwd=folder)


CHECKS = (versions, commits, generated, archives, source_archive, installation)


def main(arguments: list[str]) -> int:
    """Run the checks; return the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        for check in (*CHECKS, *([debian_package] if "--deb" in arguments else [])):
            try:
                check(Path(folder))
            except NotReady as error:
                print(f"not ready: {check.__doc__}\n{error}", file=sys.stderr)
                return 1
            print(f"ok: {check.__doc__}")
    print(f"ready: git tag -s v{VERSION}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

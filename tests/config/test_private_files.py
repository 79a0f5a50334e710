"""A file with a secret that every user of the system can read is reported."""

from pathlib import Path

from vcproxy.config.private_files import readable_by_all


def _file(folder: Path, mode: int) -> Path:
    file = folder / "secret"
    file.write_text("x")
    file.chmod(mode)
    return file


def _opened(folder: Path) -> None:
    """Let every user enter a folder: pytest makes its own for one user only."""
    while folder.parent != folder and folder.name != "tmp":
        folder.chmod(0o755)
        folder = folder.parent


def test_a_file_that_all_can_read(tmp_path: Path) -> None:
    _opened(tmp_path)
    file = _file(tmp_path, 0o644)
    assert readable_by_all(file) == f"every user of this system can read {file}: chmod o= {file}"


def test_a_file_of_its_group(tmp_path: Path) -> None:
    _opened(tmp_path)
    assert readable_by_all(_file(tmp_path, 0o640)) == ""


def test_a_file_in_a_directory_that_others_cannot_enter(tmp_path: Path) -> None:
    _opened(tmp_path)
    file = _file(tmp_path, 0o644)
    tmp_path.chmod(0o700)
    assert readable_by_all(file) == ""


def test_a_link_counts_as_what_it_points_to(tmp_path: Path) -> None:
    _opened(tmp_path)
    link = tmp_path / "link"
    link.symlink_to(_file(tmp_path, 0o604))
    assert readable_by_all(link) == f"every user of this system can read {link}: chmod o= {link}"


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    assert readable_by_all(tmp_path / "missing") == ""

"""Plugins are found by a bundled name, a module or a file, and by nothing else."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vcproxy.config import plugin_loader
from vcproxy.config.plugin_loader import PluginError, PluginLoader

SESSION = "class _Session:\n    vcproxy_plugin = True\n\n\n"
ONE = SESSION + "class One(_Session):\n    pass\n"


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is used instead of that of the bundled plugins."""
    folder = tmp_path / "bundled"
    folder.mkdir()
    monkeypatch.setattr(plugin_loader, "BUNDLED", folder)
    return folder


def refusal(spec: str) -> str:
    with pytest.raises(PluginError) as caught:
        PluginLoader().find(spec)
    return str(caught.value)


def test_a_bundled_file_and_a_bundled_folder(bundled: Path) -> None:
    (bundled / "one.py").write_text(ONE)
    (bundled / "many").mkdir()
    (bundled / "many" / "__init__.py").write_text("from .two import Two\n")
    (bundled / "many" / "two.py").write_text(ONE.replace("One", "Two"))
    assert PluginLoader().find("one").__name__ == "One"
    assert PluginLoader().find("many").__name__ == "Two"
    assert refusal("onne") == 'there is no bundled plugin "onne"; did you mean "one"?'
    assert refusal("xyzzy") == (
        'there is no bundled plugin "xyzzy"; write your own as "path/file.py:Class" '
        'or "package.module:Class"'
    )


def test_another_package_named_plugins_hides_nothing(
    bundled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bundled / "one.py").write_text(ONE)
    other = tmp_path / "other"
    for name in ("plugins/__init__.py", "plugins/one.py", "one.py"):
        file = other / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("raise RuntimeError('the other package was imported')\n")
    monkeypatch.syspath_prepend(other)
    found = PluginLoader().find("one")
    assert sys.modules[found.__module__].__file__ == str(bundled / "one.py")


def test_the_bundled_plugins_are_in_the_package() -> None:
    assert (plugin_loader.BUNDLED / "forward.py").is_file()


def test_a_file_with_another_beside_it(tmp_path: Path) -> None:
    (tmp_path / "frames.py").write_text("SIZE = 7\n")
    (tmp_path / "alone.py").write_text("from frames import SIZE\n" + ONE)
    assert refusal(str(tmp_path / "alone.py")) == (
        f"ModuleNotFoundError at {tmp_path}/alone.py:1: No module named 'frames'; frames.py stands "
        "beside it, but a folder of plugins is not searched: put both into a package, whose "
        '__init__.py is the plugin, and write "from .frames import ..."'
    )
    (tmp_path / "__init__.py").write_text("from .frames import SIZE\n" + ONE)
    assert PluginLoader().find(str(tmp_path / "__init__.py")).__name__ == "One"


def test_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "acme_proxy"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "orders.py").write_text(ONE)
    (package / "broken.py").write_text("import acme_nothing\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert PluginLoader().find("acme_proxy.orders:One").__name__ == "One"
    assert PluginLoader().find("acme_proxy.orders").__name__ == "One"
    assert refusal("acme_proxy.order:One") == (
        "there is no module acme_proxy.order: install it, or correct the name"
    )
    assert refusal("acme_prox.orders:One") == (
        "there is no module acme_prox: install it, or correct the name"
    )
    assert refusal("acme_proxy.broken:One") == (
        f"ModuleNotFoundError at {package}/broken.py:1: No module named 'acme_nothing'"
    )


def test_a_file_runs_once_for_all_its_listeners_and_again_for_each_load(tmp_path: Path) -> None:
    file = tmp_path / "a:b.py"
    file.write_text(ONE)
    plugins = PluginLoader()
    first = plugins.find(f"{file}:One")
    assert plugins.find(f"{file}") is first
    # the new text has the same length, and the file the same time stamp
    file.write_text(ONE.replace("One", "Two"))
    assert PluginLoader().find(f"{file}").__name__ == "Two"


def test_which_class(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(ONE + "class Two(_Session):\n    pass\nclass Innocent:\n    pass\n")
    assert refusal(f"{file}") == f'{file} defines One, Two: name one of them, as "{file}:One"'
    assert refusal(f"{file}:Tow") == f'{file} has no class Tow; did you mean "Two"?'
    assert refusal(f"{file}:Innocent") == (
        f"Innocent in {file} is not a plugin: it must be a Session or a Program"
    )
    file.write_text("class Innocent:\n    pass\n")
    assert refusal(f"{file}") == (
        f"{file} defines no plugin: no class in it is a Session or a Program"
    )


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("\nraise KeyError('limit')\n", "KeyError at FILE:2: 'limit'"),
        ("def check():\n    assert 0\n\ncheck()\n", "AssertionError at FILE:2: no message"),
        ("import json\n\njson.loads('{')\n", "JSONDecodeError at FILE:3: Expecting"),
        ("x = (\n", "SyntaxError at FILE:1: '(' was never closed"),
        ("import sys\nsys.exit('enough')\n", "SystemExit at FILE:2: enough"),
        ("raise GeneratorExit('enough')\n", "GeneratorExit at FILE:1: enough"),
        ("open('/no/such/file')\n", "FileNotFoundError at FILE:1: [Errno 2] No such file"),
    ],
)
def test_a_file_that_fails(tmp_path: Path, source: str, problem: str) -> None:
    file = tmp_path / "own.py"
    file.write_text(source)
    assert refusal(f"{file}:One").startswith(problem.replace("FILE", str(file)))


def test_ctrl_c_is_no_fault_of_a_plugin_but_one_in_another_thread_is(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        PluginLoader().find(f"{file}")
    with ThreadPoolExecutor() as pool:
        found = pool.submit(refusal, f"{file}").result()
    assert found == f"KeyboardInterrupt at {file}:1: no message"


@pytest.mark.parametrize("spec", ["", ":One", "a-b", "../one", "/one", "a..b:One", "one two"])
def test_invalid_names(spec: str) -> None:
    assert "is neither a bundled name nor a module nor a file that ends in .py" in refusal(spec)


def test_a_missing_file(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    assert refusal(f"{file}:One") == f"cannot read {file}: No such file or directory"

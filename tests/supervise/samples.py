"""The machines of samples/machines as classes, for simulations."""

from __future__ import annotations

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

from vcproxy.supervise.process import Process

DIRECTORY = Path(__file__).parents[2] / "samples" / "machines"

NAMES = sorted(
    str(file.relative_to(DIRECTORY)) for file in DIRECTORY.glob("*/*") if file.name[0].isupper()
)
"""All of them: "echo/Echo" and so on."""


def load(name: str) -> type[Process]:
    """Return the class of a sample, which has the name of the file."""
    file = DIRECTORY / name
    loader = SourceFileLoader(f"sample_{file.name}", str(file))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    found = getattr(module, file.name)
    assert isinstance(found, type)
    assert issubclass(found, Process)
    return found

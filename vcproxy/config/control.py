"""Checks of [control] that involve more than one key. Tested in tests/config/test_control.py."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vcproxy.config.certificate_files import authorities, key_pair
from vcproxy.config.errors import KeyProblem
from vcproxy.config.tables.control import UNIX, ControlTable

if TYPE_CHECKING:
    from vcproxy.config.schema import Settings


def problems(settings: "Settings") -> Iterator[KeyProblem]:
    """Yield addresses without their certificate, certificates without an address, and so on."""
    control = settings.control
    addresses = [each for each in control.bus if each != UNIX]
    for item, address in enumerate(control.bus):
        if address in control.bus[:item]:
            yield KeyProblem(("control", "bus", item), f"{address} is listed twice: remove one")
        elif address != UNIX and address.secure and control.tls is None:
            text = "tls:// needs [control.tls] with a certificate and a key"
            yield KeyProblem(("control", "bus", item), text, because=(("control", "tls"),))
    for item, address in enumerate(control.http):
        if address in control.http[:item]:
            yield KeyProblem(("control", "http", item), f"{address} is listed twice: remove one")
        elif address in addresses:
            text = f"{address} is in control.bus too: remove one"
            yield KeyProblem(("control", "http", item), text, because=(("control", "bus"),))
    if control.tls is not None:
        if not any(each.secure for each in addresses):
            text = "has no effect: no address in bus is tls://: remove it, or add one"
            yield KeyProblem(("control", "tls"), text, because=(("control", "bus"),))
        yield from key_pair(control.tls, ("control", "tls"))
        yield from authorities(control.tls.client_ca, ("control", "tls", "client_ca"))
    if control.service in control.services:
        text = f'"{control.service}" is the name of this proxy: name another service'
        path = ("control", "services", control.service)
        yield KeyProblem(path, text, because=(("control", "service"),))
    for item, directory in enumerate(control.messages):
        if not directory.is_dir():
            text = f"there is no directory {directory}: create it"
            yield KeyProblem(("control", "messages", item), text)


def notes(settings: "Settings") -> Iterator[tuple[str, str]]:
    """Yield keys without effect."""
    control = settings.control
    networked = any(each != UNIX and each.scheme != "unix" for each in control.bus)
    if control.allow != ControlTable().allow and not networked:
        yield "control.allow", "no effect: no address in bus is tcp://, tls:// or udp://"
    if not any(each != UNIX and each.scheme == "tcp" for each in control.http):
        for key in ("token_file", "hosts"):
            if getattr(control, key):
                yield f"control.{key}", "no effect: no address in http is tcp://"

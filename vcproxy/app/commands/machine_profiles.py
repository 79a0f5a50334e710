"""The profiles of `vcproxy machine --profile`.

Tested in tests/app/commands/test_machine_command.py.
"""

from __future__ import annotations

from vcproxy.bus.mailbox.codec import LEGACY, NUMBERED, Codec
from vcproxy.bus.mailbox.profile import PATIENT, README, WINK, Profile

_PROFILES: dict[str, tuple[Profile, Codec]] = {
    "wink": (WINK, NUMBERED),
    "readme": (README, NUMBERED),
    "patient": (PATIENT, NUMBERED),
    "legacy": (WINK, LEGACY),
}


def chosen_profile(name: str) -> tuple[Profile, Codec]:
    """Return the profile and the codec of a name."""
    return _PROFILES[name]

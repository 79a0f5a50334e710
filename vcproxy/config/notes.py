"""Notes on a valid configuration, printed by `vcproxy -t`. They are not errors."""

from collections.abc import Iterator

from vcproxy.config import control, user, workers
from vcproxy.config.loader import Configuration


def notes(configuration: Configuration) -> Iterator[tuple[str, str]]:
    """Yield each note: the path of the key that it belongs to, and its text."""
    settings, plugins = configuration.settings, configuration.plugins
    for listener, plugin in plugins.items():
        for option, note in plugin.notes.items():
            yield f"listener.{listener}.options.{option}", note
    named = {listener.upstream for listener in settings.listener}
    for plugin in plugins.values():
        named.update(plugin.upstreams.values())
    for name in settings.upstream:
        if name not in named:
            yield (
                f"upstream.{name}",
                f'not used by any listener: write upstream = "{name}" in one, or remove it',
            )
    if any(each.allow or each.deny for each in settings.listener):
        from vcproxy.config import admission  # most listeners have no lists

        yield from admission.notes(configuration)
    yield from workers.notes(configuration)
    yield from user.notes(settings)
    yield from control.notes(settings)

"""What is worth knowing of a sound configuration: `vcproxy -t` prints it beside its verdict."""

from collections.abc import Iterator

from vcproxy.config.loader import Configuration


def notes(configuration: Configuration) -> Iterator[tuple[str, str]]:
    """Yield what each note is about, as a path of keys, and what it says."""
    settings, plugins = configuration.settings, configuration.plugins
    for listener, plugin in plugins.items():
        for option, note in plugin.notes.items():
            yield f"listener.{listener}.options.{option}", note
    named = {listener.upstream for listener in settings.listener}
    for plugin in plugins.values():
        named.update(plugin.upstreams.values())
    for name in settings.upstream:
        if name not in named:
            yield f"upstream.{name}", "no listener names it, nor do the options of one"

"""Tables: every key of a configuration file, with its type, its default and the reason for it.

One class is one table, and one attribute is one key. The text under an attribute is its entry in
the generated reference (see `vcproxy.config.reference`). The types of values are in
`vcproxy.config.values`. Nothing here reads files or loads plugins. Checks that involve more than
one key are in `vcproxy.config.checks`.
"""

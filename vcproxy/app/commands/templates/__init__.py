"""Templates of plugins and their tests, for `vcproxy plugin new`: one module for each.

{name} is the name of the new module, {Name} that of its class; other braces are doubled.
"""

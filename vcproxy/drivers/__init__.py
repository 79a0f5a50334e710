"""Drivers: the only code that touches the operating system. The engine never imports them."""

"""Drivers: the only code that calls the operating system. The engine never imports them."""

"""The command `vcproxy`, also as `python -m vcproxy`.

Tested in tests/e2e/test_socat.py and tests/e2e/test_command_line.py.
"""

import signal
import sys

INTERRUPTED = 128 + signal.SIGINT
"""The exit status after ^C, as that of shells."""


def main() -> int:
    """Run the command line; return the exit status. ^C before it has handlers is no error."""
    interrupts = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interrupts:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # while modules are imported
    from vcproxy.app.cli import main as run

    if interrupts:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return run()
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())

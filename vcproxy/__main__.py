"""`python -m vcproxy` is the command `vcproxy`. Tested in tests/e2e/test_socat.py."""

import sys

from vcproxy.app.cli import main

sys.exit(main())

"""`python -m vcproxy` is the command `vcproxy`."""

import sys

from vcproxy.app.cli import main

sys.exit(main())

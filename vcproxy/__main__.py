"""`python -m vcproxy` is the command `vcproxy`."""

import sys

from vcproxy.cli import main

sys.exit(main())

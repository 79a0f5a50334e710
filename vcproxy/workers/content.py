"""The content of a configuration, from the master to its workers.

A worker that is started later must use what the master has read, not a file that was edited since
and not reloaded. Tested in tests/workers/test_content.py and tests/e2e/test_workers.py.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path

from vcproxy.config.loader import Configuration, Recorded, load
from vcproxy.config.secret_texts import with_secrets


def packed(configuration: Configuration) -> int:
    """Return a descriptor of memory with the texts of a configuration and of its plugins.

    Secrets and other files that it names are in the text of the configuration. Raises OSError.
    """
    sources = configuration.sources.items()
    fields = {
        "file": str(configuration.file),
        "text": with_secrets(configuration, str, of_files=True),
        "sources": {name: base64.b64encode(source).decode() for name, source in sources},
        "path": sys.path,
    }
    descriptor = os.memfd_create("vcproxy configuration")
    with open(descriptor, "wb", closefd=False) as memory:
        memory.write(json.dumps(fields).encode())
    return descriptor


def unpacked(descriptor: int) -> Configuration:
    """Load the configuration that the master has packed.

    Modules are then imported from where the master imports them. Raises ConfigError.
    """
    size = os.fstat(descriptor).st_size
    fields = json.loads(os.pread(descriptor, size, 0))  # the workers share the file position
    sys.path[:] = fields["path"]
    sources = {name: base64.b64decode(source) for name, source in fields["sources"].items()}
    return load(Path(fields["file"]), Recorded(fields["text"], sources))

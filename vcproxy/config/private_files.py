"""Files with secrets, and who else may read them.

Tested in tests/config/test_private_files.py.
"""

import os
import stat
from pathlib import Path


def readable_by_all(file: Path) -> str:
    """Return a warning that every user of the system can read a file, and what to do; "": not so.

    A file in a directory that others cannot enter is not readable by them. What cannot be looked at
    is not reported: reading it is an error of its own.
    """
    real = Path(os.path.realpath(file))
    try:
        mode = real.stat().st_mode
        enterable = all(each.stat().st_mode & stat.S_IXOTH for each in real.parents)
    except OSError:
        return ""
    if not mode & stat.S_IROTH or not enterable:
        return ""
    return f"every user of this system can read {file}: chmod o= {file}"

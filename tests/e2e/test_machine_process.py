"""Process.main(): machines that are scripts with a shebang."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = f"""#!{sys.executable}
from vcproxy.api import Process


class Useless(Process): ...


if __name__ == "__main__":
    Useless.main()
"""


def test_without_arguments_it_prints_its_usage(tmp_path: Path) -> None:
    script = tmp_path / "Useless"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    done = subprocess.run([script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"usage: {script} NAME ADDRESS PARENT [ARGUMENT]..., as in: {script} "
        "family/Parent :0 :42000; a machine server passes these arguments\n"
    )

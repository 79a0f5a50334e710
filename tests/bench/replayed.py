"""What a replay costs beside the run that was recorded."""

import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from .measure import cpu_s, settle
from .peers import Failed, Peer, last_line, running
from .revision import command_module, tree
from .workloads import PATIENCE_S, Sample, answer, load, order


@dataclass(frozen=True, slots=True)
class Replayed:
    """Round trips, recorded and replayed. The cost is the replay's CPU time over the recording's,
    both without their starts; the rate is round trips for each second of the replay's CPU."""

    seconds: float
    name: str = "replay"
    title: str = "replay of 64-byte round trips"
    cost_unit: str = "x"
    rate_unit: str = "/s"
    tunnels: int = 50

    def suits(self, peer: Peer) -> bool:
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once, with everything fresh. Raises Failed."""
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            log = str(Path(scratch, "log"))
            elsewhere = replace(peer, config=peer.config.replace("$scratch/log", log))
            trips, recording_s = self.recorded(elsewhere)
            replay_s = replayed_s(peer, log) - replayed_s(peer, log, "--until", "1")
        return Sample(replay_s / recording_s, trips / replay_s)

    def recorded(self, peer: Peer) -> tuple[float, float]:
        """Record a run; return its round trips and the CPU time for them. Raises Failed."""
        with load("echo") as server, running(peer, int(answer(server))) as (pid, port):
            with load("trips", port, self.tunnels, self.seconds) as client:
                answer(client)
                settle(pid)
                before = cpu_s(pid)
                order(client)
                figures = json.loads(answer(client))
                settle(pid)
                spent = cpu_s(pid) - before
            ended = os.pidfd_open(pid)
            try:
                os.kill(pid, signal.SIGTERM)
                if not select.select([ended], [], [], PATIENCE_S)[0]:
                    raise Failed("the recording did not end")
            finally:
                os.close(ended)
        return figures["done"], spent


def replayed_s(peer: Peer, log: str, *options: str) -> float:
    """Replay; return the CPU time of the process. Raises Failed."""
    folder = tree(peer.revision)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        (sys.executable, "-m", command_module(folder), "replay", log, *options),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        cwd=folder,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise Failed(f"the replay: {last_line(done.stderr + done.stdout)}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

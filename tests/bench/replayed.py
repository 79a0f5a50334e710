"""The cost of a replay, compared with that of the recorded run."""

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
from .peer import Failed, Peer, last_line, running
from .revision import command_module, tree
from .workloads import PATIENCE_S, Sample, answer, load, order


@dataclass(frozen=True, slots=True)
class Replayed:
    """A load, recorded and replayed. The cost is the replay's CPU time over the recording's, both
    without their starts; the rate is units of work for each second of the replay's CPU."""

    name: str
    title: str
    rate_unit: str
    server: str
    client: str
    tunnels: int
    amount: float
    cost_unit: str = "x"

    def suits(self, peer: Peer) -> bool:
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once, with everything fresh. Raises Failed."""
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            log = str(Path(scratch, "log"))
            elsewhere = replace(peer, config=peer.config.replace("$scratch/log", log))
            done, recording_s = self.recorded(elsewhere)
            replay_s = replayed_s(peer, log) - replayed_s(peer, log, "--until", "1")
        return Sample(replay_s / recording_s, done / replay_s)

    def recorded(self, peer: Peer) -> tuple[float, float]:
        """Record a run; return its units of work and its CPU time. Raises Failed."""
        with load(self.server) as server, running(peer, int(answer(server))) as (pid, port):
            settle(pid)
            before = cpu_s(pid)
            with load(self.client, port, self.tunnels, self.amount) as client:
                answer(client)
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


def workloads(bulk_gib: float, seconds: float) -> dict[str, Replayed]:
    """Every workload by name, in the sizes given."""
    trips = Replayed("replay", "replay of 64-byte round trips", "/s", "echo", "trips", 50, seconds)
    bulk = Replayed("replay-bulk", "replay of bulk", "GiB/s", "sink", "bulk", 1, bulk_gib * 2**30)
    return {workload.name: workload for workload in (trips, bulk)}

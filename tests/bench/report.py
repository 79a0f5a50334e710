"""The report of a run: medians, goals and whether they are reached, a table, JSON, pictures.

`python -m tests.bench.report docs/bench/results.json` writes the tables of the documentation.
"""

import contextlib
import json
import os
import platform
import ssl
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median

from .bus import PAUSE_S
from .framings import FRAMES
from .http.peers import EDITS
from .peer import Peer
from .workloads import Sample, Workload

Results = Mapping[tuple[str, str], Sample]
"""(workload, peer) -> the medians of its samples."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What vcproxy must reach: a limit on its cost, or on the ratio of its cost to another
    peer's."""

    workload: str
    limit: float
    against: str = ""
    """The other peer; empty: the limit is absolute, in the workload's unit."""
    peer: str = "vcproxy"
    as_in: str = ""
    """The workload of the other peer; empty: the same workload."""

    def value(self, results: Results) -> float | None:
        """Return the measured ratio or cost, if there is one."""
        ours = results.get((self.workload, self.peer))
        theirs = results.get((self.as_in or self.workload, self.against))
        if ours is None or (self.against and theirs is None):
            return None
        return ours.cost / theirs.cost if theirs else ours.cost

    def subject(self) -> str:
        """Return what is compared with what."""
        subject = f"{self.workload}: {self.peer}"
        if self.against:
            subject += f" / {'itself' if self.against == self.peer else self.against}"
            subject += f" at {self.as_in}" if self.as_in else ""
        return subject

    def judged(self, results: Results, unit: str) -> str:
        value = self.value(results)
        ratio = self.against or unit == "x"
        measure = "x" if ratio else f" {unit}"
        subject = self.subject()
        if value is None:
            verdict, text = "-", "not measured"
        else:
            verdict = "reached" if value <= self.limit else "MISSED"
            text = f"{value:.{2 if ratio else 1}f}{measure}"
        most = f"(at most {round(self.limit, 3):g}{measure})"
        return f"  {verdict:<8} {subject:<48} {text:>12}   {most}"


# Ratios of the proxy's CPU in one run.
GOALS = (
    Goal("bulk", 0.4, "haproxy"),
    Goal("bulk", 0.8, "haproxy-256k"),
    Goal("bulk", 0.7, "nginx"),
    Goal("bulk", 1.1, "asyncio-protocol", peer="vcproxy-copy"),
    Goal("trips-50", 0.9, "before"),
    Goal("trips-50", 1.1, "haproxy"),
    Goal("trips-50", 0.7, "uvloop-streams"),
    Goal("trips-1000", 1.3, "vcproxy", as_in="trips-50"),
    Goal("churn", 0.62, "before"),
    Goal("churn", 2.2, "haproxy"),
    Goal("churn", 0.9, "uvloop-streams"),
    Goal("proxy-protocol", 1.1, "vcproxy-unproxied", peer="vcproxy-proxied"),
    Goal("sni", 1.1, "vcproxy-unrouted", peer="vcproxy-sni"),
    Goal("sni-bulk", 1.05, "vcproxy-unrouted", peer="vcproxy-sni"),
    Goal("admission", 1.05, "vcproxy-open", peer="vcproxy-admission"),
    Goal("access-log-tcp", 1.2, "vcproxy-unlogged", peer="vcproxy-access-log"),
    Goal("idle", 5),
    Goal("start", 150),
    Goal("start-http", 200, peer="vcproxy-http"),
    Goal("validate", 0.6, "streams-validate", peer="vcproxy-validate"),
    Goal("split", 0.55, "streams-split", peer="vcproxy-split"),
    *(
        Goal(f"fan-{sinks}", limit, against, peer="vcproxy-relay")
        for sinks in (8, 100)
        for limit, against in ((1.1, "copy-loop"), (1, "ncat"), (1, "socat-tee"))
    ),
    # compared with the same proxy without recording and without bridges
    Goal("trips-50", 1.4, "vcproxy-copy", peer="vcproxy-recording"),
    Goal("bulk", 2.5, "vcproxy-copy", peer="vcproxy-recording"),
    Goal("replay", 1 / 3, peer="vcproxy-recording"),
    Goal("lines-1000", 1.3, "vcproxy-lines", peer="vcproxy-lines", as_in="lines-10"),
    # the rate of the other sinks drops by 5 % at most; a stalled sink holds at most its max_lag
    *(
        goal
        for peer in ("vcproxy-drop-oldest", "vcproxy-disconnect")
        for goal in (Goal("stalled", 1.05, peer=peer), Goal("stalled-memory", 1024, peer=peer))
    ),
    Goal("messages-echo", 3, "plain-datagrams", peer="vcproxy-machines"),
    Goal("messages-echo-one", 3, "plain-datagrams", peer="vcproxy-machines"),
    Goal("messages-wait", 1, peer="vcproxy-machines"),
    Goal("machines-tree", 30, peer="vcproxy-machines"),
    # a window; a message that is lost unnoticed fails the measurement
    *(
        Goal(f"lossy-{name}", 1024, peer="vcproxy-machines")
        for name in ("patient", "readme", "wink")
    ),
    # no turn longer than 5 ms, and the whole answer within 2 s
    Goal("show-conns", 5, peer="vcproxy-shown"),
    Goal("show-conns-answer", 2, peer="vcproxy-shown"),
    Goal("modbus-poll", 0.5, "modbus-proxy", peer="vcproxy-modbus"),
    Goal("modbus-poll", 0.5, "modbus-proxy", peer="vcproxy-modbus-many"),
    Goal("modbus-latency", 1.2, "modbus-proxy", peer="vcproxy-modbus"),
    Goal("modbus-dead", 0, peer="vcproxy-modbus-dead"),
    Goal("files", 3, "inotify-loop", peer="vcproxy-files"),
    Goal("files-memory", 2, peer="vcproxy-files"),
    Goal("bus-dispatch", 3, "json-loads", peer="vcproxy-dispatch"),
    Goal("bus-trips", 1.3, "vcproxy-bus-lines", peer="vcproxy-bus"),
    # permanent connections: all are back 1 s after the longest pause, and never at once
    *(Goal(f"bus-return-{count}", PAUSE_S + 1, peer="vcproxy-bus") for count in (1000, 200)),
    *(Goal(f"bus-crowd-{count}", 3, peer="vcproxy-bus") for count in (1000, 200)),
    *(
        Goal(work, 1.2, f"{path}-unlogged", peer=f"{path}-json")
        for work in ("access-log-http", "access-log-http-unlike")
        for path in ("direct", "ordinary")
    ),
    # the framings of the kit, by the size of the same message as a line
    *(
        Goal(f"framing-{kind}", 1.2, "framed-lines", peer=f"framed-{kind}")
        for kind in FRAMES
        if kind != "lines"
    ),
    Goal("metrics-http", 1.03, "metrics-off", peer="metrics-on"),
    Goal("metrics-turn", 5, peer="vcproxy-scraped"),  # ms
    Goal("admission-http", 1.05, "direct-open", peer="direct-admission"),
    Goal("http", 0.5, "before-http", peer="vcproxy-http"),
    *(
        Goal("http", limit, against, peer="vcproxy-http")
        for limit, against in (
            (0.75, "trafficserver"),
            (1.4, "haproxy-http"),
            (1.4, "nginx-http"),
            (0.125, "twisted"),
            (0.033, "mitmproxy"),
        )
    ),
    Goal("http", 0.8, "before-heads", peer="vcproxy-heads"),
    Goal("http", 1.15, "vcproxy-http", peer="vcproxy-workers"),
    Goal("workers", 60, peer="vcproxy-workers"),
    # no connection refused, and nothing left over: else the measurement fails
    Goal("kills", 300, peer="vcproxy-workers"),
    Goal("http-unlike", 0.55, "before-http", peer="vcproxy-http"),
    Goal("http-unlike", 1.8, "haproxy-http", peer="vcproxy-http"),
    Goal("http-1m", 0.7, "nginx-http", peer="vcproxy-http"),
    Goal("static", 0.8, "nginx-static", peer="vcproxy-static"),
    Goal("compression", 1.3, "nginx-gzip", peer="vcproxy-gzip"),
    *(
        Goal("access", 1.15, "ordinary-open", peer=f"ordinary-{duty}")
        for duty in ("cors", "rate", "bearer")
    ),
    *(
        Goal(work, 1.15, "ordinary-bare", peer=f"ordinary-{name}")
        for work in ("duty-ordinary", "instructions-duty")
        for name in EDITS
    ),
    *(Goal("duty-direct", 1.05, "direct-bare", peer=f"direct-{e}") for e in ("fields", "rewrite")),
    Goal("duty-redirect", 0.6, "ordinary-redirect", peer="direct-redirect"),
    Goal("sticky", 1.15, "ordinary-free", peer="ordinary-sticky"),
    Goal("http-tls", 0.6, "before-tls", peer="vcproxy-tls"),
    Goal("http-tls", 1.5, "haproxy-tls", peer="vcproxy-tls"),
    Goal("tls-resumed", 0.5, "vcproxy-tls", peer="vcproxy-tls", as_in="tls-full"),
    Goal("tls-resumed", 0.5, "before-tls", peer="vcproxy-tls", as_in="tls-full"),
    Goal("tls-resumed", 1.5, "haproxy-tls", peer="vcproxy-tls"),
    Goal("http-idle", 4, peer="vcproxy-http"),
    Goal("http-slow", 500, peer="vcproxy-http"),
)


def medians(samples: Iterable[Sample]) -> Sample:
    """The median of each figure by itself."""
    every = list(samples)

    def middle(name: str) -> float | None:
        known = [value for sample in every if (value := getattr(sample, name)) is not None]
        return median(known) if known else None

    return Sample(median(s.cost for s in every), *(middle(f.name) for f in fields(Sample)[1:]))


def table(
    workloads: Sequence[Workload],
    peers: Sequence[Peer],
    results: Results,
    failures: Mapping[tuple[str, str], str],
) -> Iterator[str]:
    """One block for each workload: every peer's cost, and the ratio of vcproxy's cost to it."""
    for workload in workloads:
        names = filter(is_ours, measured(workload, peers, results))
        ours = next((results[workload.name, name] for name in names), None)
        yield ""
        yield (
            f"{workload.title:<34}{workload.cost_unit:>10}{workload.rate_unit or '-':>11}"
            f"{'p50 us':>10}{'p99 us':>10}{'vcproxy/peer':>14}"
        )
        for peer in peers:
            key = (workload.name, peer.name)
            if sample := results.get(key):
                ratio = f"{ours.cost / sample.cost:.2f}" if ours and sample.cost else "-"
                figures = (sample.rate, sample.p50_us, sample.p99_us)
                widths = (11, 10, 10)
                cells = (f"{figure(x):>{w}}" for x, w in zip(figures, widths, strict=True))
                yield f"  {peer.name:<32}{figure(sample.cost):>10}{''.join(cells)}{ratio:>14}"
            if key in failures:
                yield f"  {peer.name:<32}FAILED: {failures[key]}"


def measured(workload: Workload, peers: Sequence[Peer], results: Results) -> list[str]:
    """The peers that did the work."""
    return [peer.name for peer in peers if (workload.name, peer.name) in results]


def is_ours(peer: str) -> bool:
    return peer.startswith("vcproxy")


def figure(value: float | None) -> str:
    """Format with three significant digits, or all digits of a whole number."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def goals(workloads: Sequence[Workload], peers: Sequence[Peer], results: Results) -> Iterator[str]:
    """Return the goals that can be checked with the chosen workloads and peers."""
    units = {workload.name: workload.cost_unit for workload in workloads}
    chosen = {"", *(peer.name for peer in peers)}
    shown = [
        goal
        for goal in GOALS
        if {goal.workload, goal.as_in or goal.workload} <= set(units)
        and {goal.peer, goal.against} <= chosen
    ]
    if shown:
        yield "\nMust reach"
    for goal in shown:
        yield goal.judged(results, units[goal.workload])


def machine() -> dict[str, object]:
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "kernel_tls": kernel_tls(),
    }


def kernel_tls() -> bool:
    """Return whether the kernel can encrypt in the socket: its module `tls` is loaded.

    No proxy of the benchmark is configured to use it.
    """
    with contextlib.suppress(OSError):  # a kernel without such modules
        return "tls" in Path("/proc/sys/net/ipv4/tcp_available_ulp").read_text().split()
    return False


def write_json(
    path: Path,
    workloads: Sequence[Workload],
    versions: Mapping[str, str],
    samples: Mapping[tuple[str, str], Sequence[Sample]],
    results: Results,
    failures: Mapping[tuple[str, str], str],
) -> Results:
    """Write a JSON file with all that is needed to judge the table, including every sample.

    Of an existing file, other workloads are kept. Return the medians of all that it contains.
    """
    document = json.loads(path.read_text()) if path.exists() else {"versions": {}, "workloads": {}}
    document["machine"] = machine()
    document["versions"] |= versions
    document["workloads"] |= {
        workload.name: {
            "title": workload.title,
            "date": time.strftime("%Y-%m-%d"),
            "cost_unit": workload.cost_unit,
            "rate_unit": workload.rate_unit,
            "medians": {p: asdict(s) for (w, p), s in results.items() if w == workload.name},
            "costs": {
                p: [sample.cost for sample in every]
                for (w, p), every in samples.items()
                if w == workload.name
            },
        }
        for workload in workloads
    }
    kept = {
        (name, peer): Sample(**medians)
        for name, workload in document["workloads"].items()
        for peer, medians in workload["medians"].items()
    }
    document["goals"] = [{**asdict(goal), "value": goal.value(kept)} for goal in GOALS]
    document["failures"] = {f"{w} {p}": why for (w, p), why in failures.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")
    return kept


def draw(
    path: Path, workloads: Sequence[Workload], peers: Sequence[Peer], results: Results
) -> None:
    """One panel for each workload, one bar for each peer; shorter is better.

    Raises:
        ImportError: matplotlib is not installed.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    # A workload of one peer, or of vcproxy only, has no comparison to show.
    done = {workload: measured(workload, peers, results) for workload in workloads}
    shown = [w for w, names in done.items() if len(names) > 1 and not all(map(is_ours, names))]
    if not shown:
        return
    rows = -(-len(shown) // 3)
    picture, panels = pyplot.subplots(rows, 3, figsize=(13, 3.2 * rows), squeeze=False)
    for panel in panels.flat[len(shown) :]:
        panel.set_visible(False)
    for panel, workload in zip(panels.flat, shown, strict=False):
        costs = {name: results[workload.name, name].cost for name in done[workload]}
        # The cost of a peer that forks is many times higher: its bar is cut, its value is printed.
        second, dearest = sorted(costs.values())[-2:]
        reach = dearest if dearest <= 2 * second else 1.3 * second
        colours = ["#c2410c" if is_ours(name) else "#94a3b8" for name in costs]
        panel.barh(list(costs), [min(cost, reach) for cost in costs.values()], color=colours)
        for row, cost in enumerate(costs.values()):
            label = f" {figure(cost)}" + (" »" if cost > reach else "")
            panel.text(min(cost, reach), row, label, va="center", fontsize=8)
        panel.set_xlim(0, reach * 1.2)
        panel.set_xticks([])
        panel.set_title(f"{workload.title}: {workload.cost_unit}", fontsize=9)
        panel.spines[["top", "right", "bottom"]].set_visible(False)
        panel.tick_params(length=0, labelsize=8)
        panel.invert_yaxis()
    picture.suptitle("What one unit of work costs the proxy: CPU time, memory; shorter is better")
    picture.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=130)
    pyplot.close(picture)


def draw_ratios(path: Path, results: Results) -> None:
    """One bar for each goal that is a ratio: what was measured, and a mark at the limit.

    Raises:
        ImportError: matplotlib is not installed.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    bars = [(g, v) for g in GOALS if g.against and (v := g.value(results)) is not None]
    if not bars:
        return
    picture, panel = pyplot.subplots(figsize=(10, 1 + 0.28 * len(bars)))
    reach = 1.2 * max(2.5, *(goal.limit for goal, _ in bars))  # a longer bar is cut
    for row, (goal, value) in enumerate(bars):
        colour = "#4d7c0f" if value <= goal.limit else "#c2410c"
        panel.barh(row, min(value, reach), color=colour)
        panel.plot([goal.limit] * 2, [row - 0.4, row + 0.4], color="black", linewidth=2)
        label = f" {value:.2f}" + (" »" if value > reach else "")
        panel.text(max(min(value, reach), goal.limit), row, label, va="center", fontsize=8)
    panel.set_yticks(range(len(bars)), [goal.subject() for goal, _ in bars], fontsize=8)
    panel.set_xlim(0, 1.1 * reach)
    panel.axvline(1, color="#94a3b8", linewidth=1, zorder=0)
    panel.spines[["top", "right"]].set_visible(False)
    panel.invert_yaxis()
    panel.set_title("Cost beside another; the mark is the goal, shorter is better", fontsize=9)
    picture.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=130)
    pyplot.close(picture)


def page(results: Path) -> Iterator[str]:
    """Return the tables of the documentation from a results.json, in Markdown."""
    document = json.loads(results.read_text())
    yield "| work | unit | cost |\n|---|---|---|"
    for name, work in document["workloads"].items():
        costs = ", ".join(f"{p} {figure(m['cost'])}" for p, m in work["medians"].items())
        yield f"| {work['title']} (`{name}`) | {work['cost_unit']} | {costs} |"
    yield "\n| goal | at most | measured |\n|---|---:|---:|"
    for cells in document["goals"]:
        value = cells.pop("value")
        goal = Goal(**cells)
        if value is not None:
            work = document["workloads"][goal.workload]
            unit = "x" if goal.against or work["cost_unit"] == "x" else f" {work['cost_unit']}"
            missed = "" if value <= goal.limit else " (missed)"
            most = f"{round(goal.limit, 3):g}{unit}"
            yield f"| {goal.subject()} | {most} | {value:.2f}{unit}{missed} |"


if __name__ == "__main__":
    print(*page(Path(sys.argv[1])), sep="\n")

"""Random scripts of several clients and servers do the same on both paths.

VCPROXY_SEEDS sets the number of seeds, VCPROXY_SEED repeats one.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from tests.http.direct.test_differences import (
    GET,
    IN_FLIGHT,
    LISTENERS,
    REQUESTS,
    RESPONSES,
    answer_all,
    connect,
    elapse,
    of_client,
    of_server,
    reply,
    send,
    together,
)  # fmt: skip
from tests.http.direct.test_duties import LISTENERS as WITH_DUTIES
from tests.http.direct.twins import SETTINGS, Step, World, both
from tests.http.proxy.harness import answer, request
from vcproxy.admission.rate import Rate
from vcproxy.drivers.sim import seeds
from vcproxy.http.filters import Filter
from vcproxy.http.proxy.transaction import Transaction
from vcproxy.upstream.settings import QueueSettings


class Heads(Filter):
    """Changes both heads."""

    def request_head(self, tx: Transaction) -> None:
        tx.request.fields["X-Seen"] = "yes"

    def response_head(self, tx: Transaction) -> None:
        tx.response.fields["X-Seen"] = "yes"


FILTERS = [(Heads,)]
"""With filters every request takes the ordinary path, and most input is received at once."""

RATES = (
    Rate(32, 4, 2.0, 6, "4 per 2s for each client"),
    Rate(None, 20, 4.0, 9, "20 per 4s for all clients together"),
)

SEEDS = list(seeds(300))
GOOD = answer(b"good", "Date: x")
BATCHES = [SEEDS[n::10] for n in range(10) if SEEDS[n::10]]


def one(random: Random, client: int, connections: int) -> Step:
    """Return a random step, most often a plain request of this client."""
    connection = random.randrange(connections)
    number = random.randrange(5)
    steps: list[Step] = [
        send(GET, client),
        send(request("GET", f"/{number}", f"Cookie: {random.random()}"), client),
        send(random.choice(list(REQUESTS.values())), client),
        reply(random.choice(list(RESPONSES.values())), connection),
        reply(answer(b"%d" % number * number, f"ETag: {number}", "Date: x"), connection),
        reply(GOOD[: random.randrange(len(GOOD))], connection),
        of_client(random.choice(["end", "reset", "stall", "resume"]), client),
        of_server(random.choice(["end", "reset"]), connection),
        elapse(random.choice([0.1, 1.0, 4.9, 61.0])),
        random.choice(list(IN_FLIGHT.values())),
    ]
    return random.choices(steps, [40, 20, 4, 3, 4, 3, 1, 1, 2, 1])[0]


def script(seed: int) -> tuple[list[Step], World]:
    random = Random(seed)
    clients = random.choice([1, 1, 2, 3])
    settings = replace(
        SETTINGS,
        balance=random.choice(["round_robin", "weighted", "least_connections", "hash"]),
        max_connections=random.choice([0, 0, 1, 2]),
        queue=QueueSettings(timeout=5.0),
        pool=replace(SETTINGS.pool, age=random.choice([0.0, 0.0, 7.0])),
    )
    world = World(
        replace(
            random.choice([*LISTENERS.values(), *WITH_DUTIES.values()]),
            retries=random.choice([0, 1, 2]),
        ),
        settings,
        ("alpha", "beta")[: random.choice([1, 2])],
        filters=random.choice([(), (), (), *FILTERS]),
        turned=random.random() < 0.5,
        rates=random.choice([(), (), RATES]),
    )
    steps: list[Step] = [connect] * clients
    for _ in range(30):
        client = random.randrange(clients)
        step = one(random, client, 4)
        if random.random() < 0.1:
            # Of one client, and no reset: a request is sent before a reset behind it is read.
            end = of_client("end", client)
            step = together(send(GET, client), random.choice([end, send(GET, client)]))
        steps.append(step)
        if random.random() < 0.7:
            steps.append(answer_all)
    return steps, world


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: f"{batch[0]}..")
def test_scripts(batch: list[int]) -> None:
    directly = 0
    for seed in batch:
        try:
            directly += both(*script(seed))
        except BaseException as error:
            error.add_note(f"VCPROXY_SEED={seed} repeats it")
            raise
    assert directly or len(batch) < 5

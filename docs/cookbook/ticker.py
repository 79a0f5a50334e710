"""ticker: a relay of quotes, for some symbols only, and only when the price has changed.

[[listener]]
name = "ticker"
bind = "tcp://127.0.0.1:15315"
plugin = "ticker.py"
options = { framing = "json-lines", subscribers = "tcp://127.0.0.1:15316", symbols = ["ABC"] }
"""

from dataclasses import dataclass

from vcproxy.api import Relay, RelayOptions, parse_json


@dataclass(frozen=True)
class TickerOptions(RelayOptions):
    symbols: frozenset[str] = frozenset()


class Ticker(Relay):
    Options = TickerOptions
    options: TickerOptions

    def start(self) -> None:
        self.prices: dict[str, object] = {}
        super().start()

    def edit(self, message: bytes) -> bytes | None:
        try:
            quote = parse_json(message)
        except ValueError:
            quote = None
        if not isinstance(quote, dict):
            self.counts["invalid"] += 1
            return None
        symbol, price = str(quote.get("symbol")), quote.get("price")
        if symbol not in self.options.symbols or self.prices.get(symbol) == price:
            return None
        self.prices[symbol] = price
        return message

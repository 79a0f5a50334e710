"""The other side of the dialogue: python talk.py [ADDRESS [ADDRESS-FOR-QUIT]]."""

import sys

from vcproxy.api import BlockingClient, BusMessage, send_datagram


def talk(address: str = "tcp://127.0.0.1:3001", quit_address: str = "udp://127.0.0.1:3002") -> None:
    """Have the dialogue, then end the program."""
    with BlockingClient(address) as service:
        for command in ("HI", "CLIMB", "WHO"):
            reply = service.request(BusMessage(command))
            print(f"{command} -> {reply.to_text()}")
        service.send(BusMessage("BYE"))
    send_datagram(quit_address, BusMessage("QUIT"))


if __name__ == "__main__":
    talk(*sys.argv[1:])

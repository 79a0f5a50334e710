"""The one import of plugin authors: `from vcproxy.api import Session, State, TIMEOUT`.

Names only. What they mean stands where they are defined, and in docs/reference/api.md. The proxy
itself does not import it.
"""

from tunnels.done import Dropped, Flow, Reason, SinkDone, SourceDone, TunnelDone
from tunnels.one_way import OneWayTunnel
from tunnels.one_way_multi import OneWayMultiTunnel
from tunnels.transform import Transform
from tunnels.two_way import TwoWayTunnel
from vcproxy.business.forwarder import Forwarder
from vcproxy.business.framing import (
    Decoder,
    Fault,
    Framing,
    delimiter,
    fixed,
    json_lines,
    length_prefix,
    lines,
    netstring,
)
from vcproxy.business.hearing import Message
from vcproxy.business.http.phases import Ask, Filter, Wait
from vcproxy.business.http.proxy import HttpProxy
from vcproxy.business.http.transaction import Failure, Transaction
from vcproxy.business.link import Link, LinkUp
from vcproxy.business.mirror.mirroring import Mirroring
from vcproxy.business.options import FramingOptions, parse_json
from vcproxy.business.process import reload_proxy, stop_proxy
from vcproxy.business.program import Program, Signal
from vcproxy.business.relay.options import RelayOptions
from vcproxy.business.relay.relay import Relay
from vcproxy.business.relay.status import RelayStatus, SinkStatus
from vcproxy.business.service import Service
from vcproxy.business.session import Session
from vcproxy.business.sharing import Part
from vcproxy.business.splitter import Splitter
from vcproxy.business.validator import Validator
from vcproxy.business.verdict import Accept, Later, Reject, Resend, Verdict
from vcproxy.config.schema import (
    Duration,
    Endpoint,
    FilePath,
    Size,
    Target,
    UpstreamName,
    UpstreamTls,
)
from vcproxy.engine.address import Address
from vcproxy.engine.engine import Called
from vcproxy.engine.event import Event
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.vio import VIO
from vcproxy.http.fields import Fields
from vcproxy.http.messages import Request, Response
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import ANY, State
from vcproxy.upstream.attempts import Place
from vcproxy.upstream.server import Server

TIMEOUT = Event.TIMEOUT

__all__ = [
    "ANY",
    "TIMEOUT",
    "VIO",
    "Accept",
    "Address",
    "Ask",
    "Called",
    "Decoder",
    "Dropped",
    "Duration",
    "Endpoint",
    "Event",
    "Failure",
    "Fault",
    "Fields",
    "FilePath",
    "Filter",
    "Flow",
    "Forwarder",
    "Framing",
    "FramingOptions",
    "HttpProxy",
    "Later",
    "Link",
    "LinkUp",
    "Machine",
    "Message",
    "Mirroring",
    "NetVConnection",
    "OneWayMultiTunnel",
    "OneWayTunnel",
    "Part",
    "Place",
    "Program",
    "Reason",
    "Reject",
    "Relay",
    "RelayOptions",
    "RelayStatus",
    "Request",
    "Resend",
    "Response",
    "Server",
    "Service",
    "Session",
    "Signal",
    "SinkDone",
    "SinkStatus",
    "Size",
    "SourceDone",
    "Splitter",
    "State",
    "Target",
    "Transaction",
    "Transform",
    "TunnelDone",
    "TwoWayTunnel",
    "UpstreamName",
    "UpstreamTls",
    "Validator",
    "Verdict",
    "Wait",
    "delimiter",
    "fixed",
    "json_lines",
    "length_prefix",
    "lines",
    "netstring",
    "parse_json",
    "reload_proxy",
    "stop_proxy",
]

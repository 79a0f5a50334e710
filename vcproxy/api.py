"""The public API for plugins: `from vcproxy.api import Session, State, TIMEOUT`.

This module only imports names. They are documented where they are defined, and in
docs/reference/api.md. The proxy itself does not import this module. Tested in tests/test_api.py.
"""

from vcproxy.config.schema import UpstreamTls
from vcproxy.config.values import Duration, Endpoint, FilePath, Size, Target, UpstreamName
from vcproxy.engine.address import Address
from vcproxy.engine.calls import Called
from vcproxy.engine.event import Event
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.vio import VIO
from vcproxy.framing.framing import (
    Decoder,
    Framing,
    FramingError,
    delimiter,
    fixed,
    json_lines,
    length_prefix,
    lines,
    netstring,
)
from vcproxy.framing.options import (
    FramingOptions,
    OptionalFramingOptions,
    RefusingOptions,
    parse_json,
)
from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.fields import Fields
from vcproxy.http.message.limits import MessageLimits
from vcproxy.http.message.messages import Request, Response
from vcproxy.http.message.parsing import HEAD_END, parse_request
from vcproxy.http.proxy.connection import HttpProxy
from vcproxy.http.proxy.failure import Failure
from vcproxy.http.proxy.filters import Filter, Subrequests, Wait
from vcproxy.http.proxy.transaction import Transaction
from vcproxy.machine.machine import Machine
from vcproxy.machine.pool import MachinePool
from vcproxy.machine.staged import MessageQueue, Stage, StagedMessage, StageMachine
from vcproxy.machine.state import ANY, State
from vcproxy.messages.split_rules import Orphans, Part, SplitRules
from vcproxy.messages.splitter import Splitter
from vcproxy.messages.validator import Validator
from vcproxy.messages.verdict import Accept, Defer, Reject, Resend, Verdict
from vcproxy.mirror.mirroring import Mirroring, Reply
from vcproxy.relay.options import RelayOptions
from vcproxy.relay.relay import Relay
from vcproxy.relay.status import RelayStatus, SinkStatus
from vcproxy.sessions.forwarder import Forwarder
from vcproxy.sessions.message_reader import Message
from vcproxy.sessions.process import reload_proxy, stop_proxy
from vcproxy.sessions.program import Program, Signal
from vcproxy.sessions.service import Service
from vcproxy.sessions.session import Session
from vcproxy.sessions.staged_program import StagedProgram
from vcproxy.sessions.transfer import Receive, Rx, Transmit, Tx
from vcproxy.tunnels.done import Dropped, Flow, Reason, SinkDone, SourceDone, TunnelDone
from vcproxy.tunnels.one_way import OneWayTunnel
from vcproxy.tunnels.one_way_multi import OneWayMultiTunnel
from vcproxy.tunnels.paced import Pace, PacedTwoWay
from vcproxy.tunnels.transform import Transform
from vcproxy.tunnels.two_way import TwoWayTunnel
from vcproxy.upstream.connect_attempts import Backend
from vcproxy.upstream.reconnecting import Reconnected, ReconnectingConnection
from vcproxy.upstream.server import Server

TIMEOUT = Event.TIMEOUT

__all__ = [
    "ANY",
    "HEAD_END",
    "TIMEOUT",
    "VIO",
    "Accept",
    "Address",
    "Backend",
    "BadMessage",
    "Called",
    "Decoder",
    "Defer",
    "Dropped",
    "Duration",
    "Endpoint",
    "Event",
    "Failure",
    "Fields",
    "FilePath",
    "Filter",
    "Flow",
    "Forwarder",
    "Framing",
    "FramingError",
    "FramingOptions",
    "HttpProxy",
    "Machine",
    "MachinePool",
    "Message",
    "MessageLimits",
    "MessageQueue",
    "Mirroring",
    "NetVConnection",
    "OneWayMultiTunnel",
    "OneWayTunnel",
    "OptionalFramingOptions",
    "Orphans",
    "Pace",
    "PacedTwoWay",
    "Part",
    "Program",
    "Reason",
    "Receive",
    "Reconnected",
    "ReconnectingConnection",
    "RefusingOptions",
    "Reject",
    "Relay",
    "RelayOptions",
    "RelayStatus",
    "Reply",
    "Request",
    "Resend",
    "Response",
    "Rx",
    "Server",
    "Service",
    "Session",
    "Signal",
    "SinkDone",
    "SinkStatus",
    "Size",
    "SourceDone",
    "SplitRules",
    "Splitter",
    "Stage",
    "StageMachine",
    "StagedMessage",
    "StagedProgram",
    "State",
    "Subrequests",
    "Target",
    "Transaction",
    "Transform",
    "Transmit",
    "TunnelDone",
    "TwoWayTunnel",
    "Tx",
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
    "parse_request",
    "reload_proxy",
    "stop_proxy",
]

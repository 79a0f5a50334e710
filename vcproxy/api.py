"""The public API for plugins: `from vcproxy.api import Session, State, TIMEOUT`.

This module holds names only. They are documented where they are defined, and in
docs/reference/api.md. A name's module is imported when the name is first used (PEP 562): a plugin
that forwards bytes does not load the HTTP proxy, which takes longer than the rest of its start.
Type checkers and editors see the imports below. The proxy itself does not import this module.
Tested in tests/test_api.py.
"""

from typing import TYPE_CHECKING

from vcproxy.engine.event import Event

if TYPE_CHECKING:
    from vcproxy.admission.refusal import Refusal
    from vcproxy.bus.connections.blocking_client import BlockingClient, send_datagram
    from vcproxy.bus.connections.datagram_messages import DatagramMessages
    from vcproxy.bus.connections.message_connection import (
        ConnectionEnded,
        MessageConnection,
        broadcast,
    )
    from vcproxy.bus.connections.permanent_connection import (
        BusQueueFull,
        ConnectionLost,
        ConnectionUp,
        NoReply,
        PermanentConnection,
        Replied,
    )
    from vcproxy.bus.dispatch.dispatcher import Dispatcher, DispatchResult, Match, Matching
    from vcproxy.bus.dispatch.message_receiver import MessageReceiver
    from vcproxy.bus.dispatch.on_message import on_message
    from vcproxy.bus.dispatch.received_message import ReceivedMessage
    from vcproxy.bus.dispatch.standard_messages import StandardMessages
    from vcproxy.bus.mailbox.letter import Letter
    from vcproxy.bus.mailbox.mailbox import GivenUp, MailboxFull
    from vcproxy.bus.mailbox.peer import Peer, parse_peer, show_peer
    from vcproxy.bus.mailbox.profile import PATIENT, README, WINK, Profile
    from vcproxy.bus.message.bus_message import BusMessage
    from vcproxy.bus.message.definitions import ParameterDefinition
    from vcproxy.bus.message.invalid_message import InvalidMessage
    from vcproxy.config.secret import Secret
    from vcproxy.config.tables.tls import UpstreamTls
    from vcproxy.config.values import (
        Duration,
        Endpoint,
        FilePath,
        NumberRanges,
        ProgramCommand,
        Size,
        Target,
        UpstreamName,
    )
    from vcproxy.engine.address import Address
    from vcproxy.engine.calls import Called
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.peer_certificate import PeerCertificate
    from vcproxy.engine.sources.bus_messages import BusMessages, BusReceived
    from vcproxy.engine.sources.child_process import (
        PIPE,
        ChildContinued,
        ChildExited,
        ChildKilled,
        ChildProcess,
        ChildStopped,
        Launch,
        Launched,
        LaunchFailed,
    )
    from vcproxy.engine.sources.content_watch import (
        ContentChanged,
        ContentRead,
        ContentWatch,
        content_digest,
    )
    from vcproxy.engine.sources.datagrams import Arrived, BindFailed, Bound, Datagrams
    from vcproxy.engine.sources.file_changes import FileChanged, FileChanges, FileEvent
    from vcproxy.engine.sources.listening import ListenerWatch, Listening, NotListening
    from vcproxy.engine.sources.own_thread import OwnThread, ThreadDone, ThreadStopped, ThreadWork
    from vcproxy.engine.sources.signals import Signal, Signals, signal_name
    from vcproxy.engine.sources.thread_messages import ThreadMessage, ThreadMessages
    from vcproxy.engine.sources.ticks import Tick, Ticks
    from vcproxy.engine.sources.unix_datagrams import UnixArrived, UnixBound, UnixDatagrams
    from vcproxy.engine.vio import VIO
    from vcproxy.framing.beast import beast
    from vcproxy.framing.between import between, mllp
    from vcproxy.framing.checked import checked
    from vcproxy.framing.cobs import cobs
    from vcproxy.framing.decoding import Damaged
    from vcproxy.framing.dns_tcp import dns_tcp
    from vcproxy.framing.fix import fix
    from vcproxy.framing.framing import (
        UNFRAMED,
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
    from vcproxy.framing.hdlc import hdlc
    from vcproxy.framing.header_fields import header_fields
    from vcproxy.framing.iec104 import iec104
    from vcproxy.framing.length_at import length_at
    from vcproxy.framing.mbap import mbap
    from vcproxy.framing.measured import Measured
    from vcproxy.framing.modbus_rtu import modbus_rtu, rtu_frame
    from vcproxy.framing.mpegts import mpegts
    from vcproxy.framing.mqtt import mqtt
    from vcproxy.framing.nmea import nmea
    from vcproxy.framing.options import (
        FramingOptions,
        OptionalFramingOptions,
        RefusingOptions,
        parse_json,
    )
    from vcproxy.framing.postgresql import postgresql
    from vcproxy.framing.resp import resp
    from vcproxy.framing.rfc6587 import rfc6587
    from vcproxy.framing.slip import slip
    from vcproxy.framing.stomp import stomp
    from vcproxy.framing.tpkt import tpkt
    from vcproxy.http.filters import Filter, Subrequests, Wait
    from vcproxy.http.message.bad_message import BadMessage
    from vcproxy.http.message.fields import Fields
    from vcproxy.http.message.limits import MessageLimits
    from vcproxy.http.message.messages import Request, Response
    from vcproxy.http.message.parsing import HEAD_END, parse_request
    from vcproxy.http.proxy.connection import HttpProxy
    from vcproxy.http.proxy.failure import Failure
    from vcproxy.http.proxy.transaction import Transaction
    from vcproxy.instruments.counter import Counter
    from vcproxy.instruments.gauge import Gauge
    from vcproxy.instruments.histogram import Histogram
    from vcproxy.machine.every import every
    from vcproxy.machine.machine import Machine
    from vcproxy.machine.pool import MachinePool
    from vcproxy.machine.staged import MessageQueue, Stage, StagedMessage, StageMachine
    from vcproxy.machine.state import ANY, State
    from vcproxy.messages.keyed import Keyed
    from vcproxy.messages.modbus_options import ModbusOptions
    from vcproxy.messages.split_rules import Orphans, Part, SplitRules
    from vcproxy.messages.splitter import Splitter
    from vcproxy.messages.unanswered import Unanswered
    from vcproxy.messages.validator import Validator
    from vcproxy.messages.verdict import Accept, Defer, Reject, Resend, Verdict
    from vcproxy.mirror.mirroring import Mirroring, Reply
    from vcproxy.protocols.continuity import NULL_PID, Continuity
    from vcproxy.protocols.hl7 import Hl7Answer, Hl7Fault, Hl7Fields, Hl7Header
    from vcproxy.protocols.modbus import (
        ModbusError,
        ModbusRequest,
        mbap_frame,
        parse_modbus_request,
    )
    from vcproxy.protocols.nmea import NmeaSentence, with_nmea_checksum
    from vcproxy.protocols.nmea_groups import NmeaGroups
    from vcproxy.protocols.nmea_rates import NmeaRates
    from vcproxy.protocols.rtp import RtpReceiver
    from vcproxy.protocols.syslog import SyslogFault, SyslogMessage
    from vcproxy.proxy_protocol.encoder import encode_header
    from vcproxy.proxy_protocol.header import ProxyHeader
    from vcproxy.proxy_protocol.tlv import TlsFacts, Tlv
    from vcproxy.relay.options import RelayOptions
    from vcproxy.relay.relay import Relay
    from vcproxy.relay.repeats import Repeats
    from vcproxy.relay.status import RelayStatus, SinkStatus
    from vcproxy.sessions.forwarder import Forwarder
    from vcproxy.sessions.message_reader import Message
    from vcproxy.sessions.process import reload_proxy, stop_proxy
    from vcproxy.sessions.program import Program
    from vcproxy.sessions.service import Service
    from vcproxy.sessions.session import Session
    from vcproxy.sessions.staged_program import StagedProgram
    from vcproxy.sessions.tls_router import TlsRouter
    from vcproxy.sessions.transfer import Receive, Rx, Transmit, Tx
    from vcproxy.supervise.child_spec import ChildSpec, Restart
    from vcproxy.supervise.children import Child
    from vcproxy.supervise.intensity import Intensity
    from vcproxy.supervise.process import Process
    from vcproxy.supervise.strategy import Strategy
    from vcproxy.supervise.supervising_process import MachineSpec, SupervisingProcess
    from vcproxy.supervise.supervision import ChildControl, Supervision
    from vcproxy.supervise.supervisor import Supervisor
    from vcproxy.tunnels.done import Dropped, Flow, Reason, SinkDone, SourceDone, TunnelDone
    from vcproxy.tunnels.one_way import OneWayTunnel
    from vcproxy.tunnels.one_way_multi import OneWayMultiTunnel
    from vcproxy.tunnels.paced import Pace, PacedTwoWay
    from vcproxy.tunnels.transform import Transform
    from vcproxy.tunnels.two_way import TwoWayTunnel
    from vcproxy.upstream.backoff import Backoff
    from vcproxy.upstream.connect_attempts import Backend
    from vcproxy.upstream.pauses import Pauses
    from vcproxy.upstream.reconnecting import Reconnected, ReconnectingConnection
    from vcproxy.upstream.server import Server
else:
    from importlib import import_module

    _MODULES = {
        "vcproxy.framing.modbus_rtu": (
            "rtu_frame",
            "modbus_rtu",
        ),
        "vcproxy.messages.modbus_options": ("ModbusOptions",),
        "vcproxy.protocols.modbus": (
            "parse_modbus_request",
            "mbap_frame",
            "ModbusRequest",
            "ModbusError",
        ),
        "vcproxy.bus.message.definitions": ("ParameterDefinition",),
        "vcproxy.bus.dispatch.standard_messages": ("StandardMessages",),
        "vcproxy.bus.connections.blocking_client": (
            "BlockingClient",
            "send_datagram",
        ),
        "vcproxy.bus.connections.datagram_messages": ("DatagramMessages",),
        "vcproxy.bus.connections.message_connection": (
            "ConnectionEnded",
            "MessageConnection",
            "broadcast",
        ),
        "vcproxy.bus.connections.permanent_connection": (
            "BusQueueFull",
            "ConnectionLost",
            "ConnectionUp",
            "NoReply",
            "PermanentConnection",
            "Replied",
        ),
        "vcproxy.upstream.backoff": ("Backoff",),
        "vcproxy.upstream.pauses": ("Pauses",),
        "vcproxy.bus.dispatch.dispatcher": ("Dispatcher", "Match", "Matching", "DispatchResult"),
        "vcproxy.engine.sources.bus_messages": ("BusMessages", "BusReceived"),
        "vcproxy.bus.message.invalid_message": ("InvalidMessage",),
        "vcproxy.bus.message.bus_message": ("BusMessage",),
        "vcproxy.bus.dispatch.received_message": ("ReceivedMessage",),
        "vcproxy.bus.dispatch.on_message": ("on_message",),
        "vcproxy.bus.dispatch.message_receiver": ("MessageReceiver",),
        "vcproxy.bus.mailbox.letter": ("Letter",),
        "vcproxy.bus.mailbox.mailbox": ("GivenUp", "MailboxFull"),
        "vcproxy.bus.mailbox.peer": (
            "Peer",
            "parse_peer",
            "show_peer",
        ),
        "vcproxy.bus.mailbox.profile": (
            "PATIENT",
            "README",
            "WINK",
            "Profile",
        ),
        "vcproxy.admission.refusal": ("Refusal",),
        "vcproxy.config.secret": ("Secret",),
        "vcproxy.config.tables.tls": ("UpstreamTls",),
        "vcproxy.config.values": (
            "NumberRanges",
            "Duration",
            "Endpoint",
            "FilePath",
            "ProgramCommand",
            "Size",
            "Target",
            "UpstreamName",
        ),
        "vcproxy.engine.address": ("Address",),
        "vcproxy.engine.calls": ("Called",),
        "vcproxy.engine.sources.child_process": (
            "PIPE",
            "ChildContinued",
            "ChildExited",
            "ChildKilled",
            "ChildProcess",
            "ChildStopped",
            "Launch",
            "Launched",
            "LaunchFailed",
        ),
        "vcproxy.engine.sources.content_watch": (
            "ContentChanged",
            "ContentRead",
            "ContentWatch",
            "content_digest",
        ),
        "vcproxy.engine.sources.datagrams": ("Arrived", "BindFailed", "Bound", "Datagrams"),
        "vcproxy.engine.sources.file_changes": ("FileChanged", "FileChanges", "FileEvent"),
        "vcproxy.engine.sources.listening": ("ListenerWatch", "Listening", "NotListening"),
        "vcproxy.engine.net": ("NetVConnection",),
        "vcproxy.engine.sources.own_thread": (
            "OwnThread",
            "ThreadDone",
            "ThreadStopped",
            "ThreadWork",
        ),
        "vcproxy.engine.sources.signals": ("Signal", "Signals", "signal_name"),
        "vcproxy.engine.sources.thread_messages": ("ThreadMessage", "ThreadMessages"),
        "vcproxy.engine.sources.ticks": ("Tick", "Ticks"),
        "vcproxy.engine.sources.unix_datagrams": ("UnixArrived", "UnixBound", "UnixDatagrams"),
        "vcproxy.engine.vio": ("VIO",),
        "vcproxy.framing.beast": ("beast",),
        "vcproxy.framing.between": (
            "between",
            "mllp",
        ),
        "vcproxy.framing.checked": ("checked",),
        "vcproxy.framing.cobs": ("cobs",),
        "vcproxy.framing.decoding": ("Damaged",),
        "vcproxy.framing.dns_tcp": ("dns_tcp",),
        "vcproxy.framing.fix": ("fix",),
        "vcproxy.framing.framing": (
            "UNFRAMED",
            "Decoder",
            "Framing",
            "FramingError",
            "delimiter",
            "fixed",
            "json_lines",
            "length_prefix",
            "lines",
            "netstring",
        ),
        "vcproxy.framing.hdlc": ("hdlc",),
        "vcproxy.framing.header_fields": ("header_fields",),
        "vcproxy.framing.iec104": ("iec104",),
        "vcproxy.framing.length_at": ("length_at",),
        "vcproxy.framing.mbap": ("mbap",),
        "vcproxy.framing.measured": ("Measured",),
        "vcproxy.framing.mpegts": ("mpegts",),
        "vcproxy.framing.mqtt": ("mqtt",),
        "vcproxy.framing.nmea": ("nmea",),
        "vcproxy.framing.postgresql": ("postgresql",),
        "vcproxy.framing.resp": ("resp",),
        "vcproxy.framing.rfc6587": ("rfc6587",),
        "vcproxy.framing.slip": ("slip",),
        "vcproxy.framing.stomp": ("stomp",),
        "vcproxy.framing.tpkt": ("tpkt",),
        "vcproxy.framing.options": (
            "FramingOptions",
            "OptionalFramingOptions",
            "RefusingOptions",
            "parse_json",
        ),
        "vcproxy.http.message.bad_message": ("BadMessage",),
        "vcproxy.http.message.fields": ("Fields",),
        "vcproxy.http.message.limits": ("MessageLimits",),
        "vcproxy.http.message.messages": ("Request", "Response"),
        "vcproxy.http.message.parsing": ("HEAD_END", "parse_request"),
        "vcproxy.http.proxy.connection": ("HttpProxy",),
        "vcproxy.http.proxy.failure": ("Failure",),
        "vcproxy.http.filters": ("Filter", "Subrequests", "Wait"),
        "vcproxy.http.proxy.transaction": ("Transaction",),
        "vcproxy.instruments.counter": ("Counter",),
        "vcproxy.instruments.gauge": ("Gauge",),
        "vcproxy.instruments.histogram": ("Histogram",),
        "vcproxy.machine.every": ("every",),
        "vcproxy.machine.machine": ("Machine",),
        "vcproxy.machine.pool": ("MachinePool",),
        "vcproxy.machine.staged": ("MessageQueue", "Stage", "StagedMessage", "StageMachine"),
        "vcproxy.machine.state": ("ANY", "State"),
        "vcproxy.protocols.hl7": ("Hl7Answer", "Hl7Fault", "Hl7Fields", "Hl7Header"),
        "vcproxy.protocols.syslog": ("SyslogFault", "SyslogMessage"),
        "vcproxy.messages.keyed": ("Keyed",),
        "vcproxy.protocols.continuity": ("NULL_PID", "Continuity"),
        "vcproxy.protocols.nmea": ("NmeaSentence", "with_nmea_checksum"),
        "vcproxy.protocols.nmea_groups": ("NmeaGroups",),
        "vcproxy.protocols.nmea_rates": ("NmeaRates",),
        "vcproxy.protocols.rtp": ("RtpReceiver",),
        "vcproxy.messages.split_rules": ("Orphans", "Part", "SplitRules"),
        "vcproxy.messages.splitter": ("Splitter",),
        "vcproxy.messages.unanswered": ("Unanswered",),
        "vcproxy.messages.validator": ("Validator",),
        "vcproxy.messages.verdict": ("Accept", "Defer", "Reject", "Resend", "Verdict"),
        "vcproxy.mirror.mirroring": ("Mirroring", "Reply"),
        "vcproxy.proxy_protocol.encoder": ("encode_header",),
        "vcproxy.engine.peer_certificate": ("PeerCertificate",),
        "vcproxy.proxy_protocol.header": ("ProxyHeader",),
        "vcproxy.proxy_protocol.tlv": (
            "TlsFacts",
            "TlsRouter",
            "Tlv",
        ),
        "vcproxy.relay.options": ("RelayOptions",),
        "vcproxy.relay.relay": ("Relay",),
        "vcproxy.relay.repeats": ("Repeats",),
        "vcproxy.relay.status": ("RelayStatus", "SinkStatus"),
        "vcproxy.sessions.forwarder": ("Forwarder",),
        "vcproxy.sessions.message_reader": ("Message",),
        "vcproxy.sessions.process": ("reload_proxy", "stop_proxy"),
        "vcproxy.sessions.program": ("Program",),
        "vcproxy.sessions.service": ("Service",),
        "vcproxy.sessions.session": ("Session",),
        "vcproxy.sessions.staged_program": ("StagedProgram",),
        "vcproxy.sessions.tls_router": ("TlsRouter",),
        "vcproxy.sessions.transfer": ("Receive", "Rx", "Transmit", "Tx"),
        "vcproxy.supervise.child_spec": ("ChildSpec", "Restart"),
        "vcproxy.supervise.intensity": ("Intensity",),
        "vcproxy.supervise.strategy": ("Strategy",),
        "vcproxy.supervise.supervising_process": ("MachineSpec", "SupervisingProcess"),
        "vcproxy.supervise.supervision": ("ChildControl", "Supervision"),
        "vcproxy.supervise.supervisor": ("Supervisor",),
        "vcproxy.supervise.children": ("Child",),
        "vcproxy.supervise.process": ("Process",),
        "vcproxy.tunnels.done": (
            "Dropped",
            "Flow",
            "Reason",
            "SinkDone",
            "SourceDone",
            "TunnelDone",
        ),
        "vcproxy.tunnels.one_way": ("OneWayTunnel",),
        "vcproxy.tunnels.one_way_multi": ("OneWayMultiTunnel",),
        "vcproxy.tunnels.paced": ("Pace", "PacedTwoWay"),
        "vcproxy.tunnels.transform": ("Transform",),
        "vcproxy.tunnels.two_way": ("TwoWayTunnel",),
        "vcproxy.upstream.connect_attempts": ("Backend",),
        "vcproxy.upstream.reconnecting": ("Reconnected", "ReconnectingConnection"),
        "vcproxy.upstream.server": ("Server",),
    }
    """The names by their module: the same as the imports above, which do not run."""

    _MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

    def __getattr__(name: str) -> object:
        """Import a name from its module, once."""
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
        return found

    def __dir__() -> list[str]:
        """Return the public names, loaded or not."""
        return __all__


TIMEOUT = Event.TIMEOUT

__all__ = [
    "ANY",
    "HEAD_END",
    "NULL_PID",
    "PATIENT",
    "PIPE",
    "README",
    "TIMEOUT",
    "UNFRAMED",
    "VIO",
    "WINK",
    "Accept",
    "Address",
    "Arrived",
    "Backend",
    "Backoff",
    "BadMessage",
    "BindFailed",
    "BlockingClient",
    "Bound",
    "BusMessage",
    "BusMessages",
    "BusQueueFull",
    "BusReceived",
    "Called",
    "Child",
    "ChildContinued",
    "ChildControl",
    "ChildExited",
    "ChildKilled",
    "ChildProcess",
    "ChildSpec",
    "ChildStopped",
    "ConnectionEnded",
    "ConnectionLost",
    "ConnectionUp",
    "ContentChanged",
    "ContentRead",
    "ContentWatch",
    "Continuity",
    "Counter",
    "Damaged",
    "DatagramMessages",
    "Datagrams",
    "Decoder",
    "Defer",
    "DispatchResult",
    "Dispatcher",
    "Dropped",
    "Duration",
    "Endpoint",
    "Event",
    "Failure",
    "Fields",
    "FileChanged",
    "FileChanges",
    "FileEvent",
    "FilePath",
    "Filter",
    "Flow",
    "Forwarder",
    "Framing",
    "FramingError",
    "FramingOptions",
    "Gauge",
    "GivenUp",
    "Histogram",
    "Hl7Answer",
    "Hl7Fault",
    "Hl7Fields",
    "Hl7Header",
    "HttpProxy",
    "Intensity",
    "InvalidMessage",
    "Keyed",
    "Launch",
    "LaunchFailed",
    "Launched",
    "Letter",
    "ListenerWatch",
    "Listening",
    "Machine",
    "MachinePool",
    "MachineSpec",
    "MailboxFull",
    "Match",
    "Matching",
    "Measured",
    "Message",
    "MessageConnection",
    "MessageLimits",
    "MessageQueue",
    "MessageReceiver",
    "Mirroring",
    "ModbusError",
    "ModbusOptions",
    "ModbusRequest",
    "NetVConnection",
    "NmeaGroups",
    "NmeaRates",
    "NmeaSentence",
    "NoReply",
    "NotListening",
    "NumberRanges",
    "OneWayMultiTunnel",
    "OneWayTunnel",
    "OptionalFramingOptions",
    "Orphans",
    "OwnThread",
    "Pace",
    "PacedTwoWay",
    "ParameterDefinition",
    "Part",
    "Pauses",
    "Peer",
    "PeerCertificate",
    "PermanentConnection",
    "Process",
    "Profile",
    "Program",
    "ProgramCommand",
    "ProxyHeader",
    "Reason",
    "Receive",
    "ReceivedMessage",
    "Reconnected",
    "ReconnectingConnection",
    "Refusal",
    "RefusingOptions",
    "Reject",
    "Relay",
    "RelayOptions",
    "RelayStatus",
    "Repeats",
    "Replied",
    "Reply",
    "Request",
    "Resend",
    "Response",
    "Restart",
    "RtpReceiver",
    "Rx",
    "Secret",
    "Server",
    "Service",
    "Session",
    "Signal",
    "Signals",
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
    "StandardMessages",
    "State",
    "Strategy",
    "Subrequests",
    "SupervisingProcess",
    "Supervision",
    "Supervisor",
    "SyslogFault",
    "SyslogMessage",
    "Target",
    "ThreadDone",
    "ThreadMessage",
    "ThreadMessages",
    "ThreadStopped",
    "ThreadWork",
    "Tick",
    "Ticks",
    "TlsFacts",
    "TlsRouter",
    "Tlv",
    "Transaction",
    "Transform",
    "Transmit",
    "TunnelDone",
    "TwoWayTunnel",
    "Tx",
    "Unanswered",
    "UnixArrived",
    "UnixBound",
    "UnixDatagrams",
    "UpstreamName",
    "UpstreamTls",
    "Validator",
    "Verdict",
    "Wait",
    "beast",
    "between",
    "broadcast",
    "checked",
    "cobs",
    "content_digest",
    "delimiter",
    "dns_tcp",
    "encode_header",
    "every",
    "fix",
    "fixed",
    "hdlc",
    "header_fields",
    "iec104",
    "json_lines",
    "length_at",
    "length_prefix",
    "lines",
    "mbap",
    "mbap_frame",
    "mllp",
    "modbus_rtu",
    "mpegts",
    "mqtt",
    "netstring",
    "nmea",
    "on_message",
    "parse_json",
    "parse_modbus_request",
    "parse_peer",
    "parse_request",
    "postgresql",
    "reload_proxy",
    "resp",
    "rfc6587",
    "rtu_frame",
    "send_datagram",
    "show_peer",
    "signal_name",
    "slip",
    "stomp",
    "stop_proxy",
    "tpkt",
    "with_nmea_checksum",
]

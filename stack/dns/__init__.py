"""The Domain Name System: a codec of its messages, a resolver, a small server.

    message = dns.Message.parse(wire)

    async with dns.Resolver.system() as resolver:
        answer = await resolver.query("www.example.test", "AAAA")

The names below are the public ones; each is loaded when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stack.dns.constants import BadType, EdeCode, Opcode, OptionCode, Rcode, RRClass, RRType
    from stack.dns.core import Answer, Hint, ResolverConfig, ResolverCore
    from stack.dns.edns import Edns
    from stack.dns.errors import (
        NXDOMAIN,
        BadName,
        BadRdata,
        Bogus,
        DnsError,
        Ede,
        FormError,
        FormReason,
        NoData,
        ResolverClosed,
        ServFail,
        Timeout,
        Try,
        ZoneError,
    )
    from stack.dns.explain import Explanation
    from stack.dns.message import Message
    from stack.dns.names import ROOT, Name
    from stack.dns.rdata import Rdata
    from stack.dns.resolver import Resolver, Service
    from stack.dns.rrset import Question, RRset
    from stack.dns.server import DnsServer, ServerLimits, load_zone, serve
    from stack.dns.zone import Zone

__all__ = [
    "NXDOMAIN",
    "ROOT",
    "Answer",
    "BadName",
    "BadRdata",
    "BadType",
    "Bogus",
    "DnsError",
    "DnsServer",
    "Ede",
    "EdeCode",
    "Edns",
    "Explanation",
    "FormError",
    "FormReason",
    "Guards",
    "Hint",
    "Message",
    "Name",
    "NoData",
    "Opcode",
    "OptionCode",
    "Question",
    "RRClass",
    "RRType",
    "RRset",
    "Rcode",
    "Rdata",
    "Resolver",
    "ResolverClosed",
    "ResolverConfig",
    "ResolverCore",
    "ResolverLimits",
    "ServFail",
    "ServerLimits",
    "Service",
    "Timeout",
    "Try",
    "Zone",
    "ZoneError",
    "load_zone",
    "serve",
]

_HOME = {
    "NXDOMAIN": "stack.dns.errors",
    "ROOT": "stack.dns.names",
    "Answer": "stack.dns.core",
    "BadName": "stack.dns.errors",
    "BadRdata": "stack.dns.errors",
    "BadType": "stack.dns.constants",
    "Bogus": "stack.dns.errors",
    "DnsError": "stack.dns.errors",
    "DnsServer": "stack.dns.server",
    "Ede": "stack.dns.errors",
    "EdeCode": "stack.dns.constants",
    "Edns": "stack.dns.edns",
    "Explanation": "stack.dns.explain",
    "FormError": "stack.dns.errors",
    "FormReason": "stack.dns.errors",
    "Hint": "stack.dns.core",
    "Guards": "stack.dns.core",
    "ResolverLimits": "stack.dns.core",
    "ServerLimits": "stack.dns.server",
    "Message": "stack.dns.message",
    "Name": "stack.dns.names",
    "NoData": "stack.dns.errors",
    "Opcode": "stack.dns.constants",
    "OptionCode": "stack.dns.constants",
    "Question": "stack.dns.rrset",
    "RRClass": "stack.dns.constants",
    "RRType": "stack.dns.constants",
    "RRset": "stack.dns.rrset",
    "Rcode": "stack.dns.constants",
    "Rdata": "stack.dns.rdata",
    "Resolver": "stack.dns.resolver",
    "ResolverClosed": "stack.dns.errors",
    "ResolverConfig": "stack.dns.core",
    "ResolverCore": "stack.dns.core",
    "ServFail": "stack.dns.errors",
    "Service": "stack.dns.resolver",
    "Timeout": "stack.dns.errors",
    "Try": "stack.dns.errors",
    "Zone": "stack.dns.zone",
    "ZoneError": "stack.dns.errors",
    "load_zone": "stack.dns.server",
    "serve": "stack.dns.server",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)

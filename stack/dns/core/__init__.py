"""The resolver's logic without its sockets: bytes and the time go in, actions and answers come out.

    core        ResolverCore: clients, tasks, timers; the only part with an outside
    resolve     a question from its first name to the end of its chain of aliases: a generator
    forward     ... by asking resolvers
    iterate     ... by going down from the root
    ask         one question to one server, however it wants it put
    exchanges   what is in flight, by UDP and TCP, and which replies are believed to be replies
    reply       what a reply says about the question, and what its server has no say in
    admit       the one way from a reply into the cache
    cache       names; servers: what is known of them;  work: what a question may cost
    query       the bytes of a query, the first look at a reply
    local       the hosts table, localhost and other names that nobody is asked about

Arguments go down, results come up: no part knows the one that calls it.
"""

from stack.dns.core.actions import Close, Finished, KeepOpen, Release, SendTcp, SendUdp
from stack.dns.core.answer import Answer, Failure, Step
from stack.dns.core.config import Guards, ResolverConfig, ResolverLimits
from stack.dns.core.core import ResolverCore
from stack.dns.core.hints import ROOT_HINTS, Hint

__all__ = [
    "ROOT_HINTS",
    "Answer",
    "Close",
    "Failure",
    "Finished",
    "Guards",
    "Hint",
    "KeepOpen",
    "Release",
    "ResolverConfig",
    "ResolverCore",
    "ResolverLimits",
    "SendTcp",
    "SendUdp",
    "Step",
]

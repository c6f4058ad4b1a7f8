"""What a program of an interface file is at run time: versions, their procedures, and the bases of servers and clients.

The compiler makes of `version CALC_V1 { ... } = 1;` a class CALC_V1(Version).  It is never instantiated; it holds the
numbers, `CALC_V1.Server` (to be derived from: each procedure is a method) and `CALC_V1.Client` (a method per call).
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self, TypedDict, TypeVar

from stack.rpc.calls import Semantics
from stack.rpc.dispatch import Invocation as Context
from stack.rpc.xdr import DECODING, LIMITS, VOID, Codec, Limits, Reader, Writer, reason_of

__all__ = ["CallOptions", "Caller", "Client", "Context", "Procedure", "Server", "Version"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(slots=True, frozen=True)
class Procedure:
    """One procedure: several arguments are marshalled one after the other, as rpcgen -N does."""

    name: str
    number: int
    args: tuple[Codec[Any], ...]
    result: Codec[Any]
    attribute: str  # of Server and Client; the name, but for those that Python cannot use

    def encode_args(self, values: Sequence[Any], limits: Limits = LIMITS) -> bytes:
        """The octets of the arguments.  Raises XdrError, and TypeError for too many or too few."""
        if len(values) != len(self.args):
            raise TypeError(f"{self.name} takes {len(self.args)} arguments, not {len(values)}")
        if len(values) == 1:
            return self.args[0].encode(values[0], limits)
        writer = Writer(limits)
        for codec, value in zip(self.args, values, strict=True):
            codec.append(writer, value)
        return writer.finish()

    def decode_args(self, data: bytes, at: int = 0, limits: Limits = LIMITS) -> tuple[Any, ...]:
        """The arguments that begin at octet `at`.  Raises XdrError."""
        if len(self.args) == 1:
            return (self.args[0].decode(data, limits, at),)
        reader = Reader(data, limits, at)
        try:
            values = tuple([codec.read(reader) for codec in self.args])
        except DECODING as error:
            raise reason_of(error) from None
        reader.finish()
        return values

    def encode_result(self, value: Any, limits: Limits = LIMITS) -> bytes:
        """The octets of a result.  Raises XdrError."""
        return self.result.encode(value, limits)

    def decode_result(self, data: bytes, at: int = 0, limits: Limits = LIMITS) -> Any:
        """The result that begins at octet `at`.  Raises XdrError."""
        if self.result is VOID and not limits.strict:
            return None
        return self.result.decode(data, limits, at)


class CallOptions(TypedDict, total=False):
    """What a call can be given besides its arguments."""

    timeout: float | None  # seconds until the call is given up
    semantics: Semantics | str  # what may happen when no reply comes, if not what the client has for the procedure


class Version:
    """One version of a program."""

    __slots__ = ()

    program: ClassVar[int]
    version: ClassVar[int]
    name: ClassVar[str]
    program_name: ClassVar[str]
    procedures: ClassVar[Mapping[int, Procedure]]  # by number; 0, which does nothing, is always among them

    Server: ClassVar[type["Server"]]
    Client: ClassVar[type["Client"]]

    def __init_subclass__(cls) -> None:
        cls.Server.interface = cls
        cls.Client.interface = cls


class Server:
    """Base of the servers of all versions.  A class can be derived from several `Version.Server`s."""

    __slots__ = ()

    interface: ClassVar[type[Version]]

    @classmethod
    def interfaces(cls) -> list[type[Version]]:
        """The versions that the class serves."""
        return [vars(base)["interface"] for base in cls.__mro__ if "interface" in vars(base)]

    def handler(self, interface: type[Version], number: int) -> Callable[..., Awaitable[Any]] | None:
        """The method of a procedure; None if there is no such procedure, or the class has not overridden it.

        Procedure 0 needs no overriding (RFC 5531 §12.1).
        """
        procedure = interface.procedures.get(number)
        if procedure is None:
            return None
        given = getattr(type(self), procedure.attribute)
        if given is getattr(interface.Server, procedure.attribute) and number != 0:
            return None
        method: Callable[..., Awaitable[Any]] = getattr(self, procedure.attribute)
        return method


class Added(Protocol[T_co]):
    """A call of a batch."""

    def result(self) -> T_co:
        """Its result, once the block has ended.  Raises what the call raised."""

    def exception(self) -> BaseException | None:
        """What it raised."""


class Batching(Protocol):
    """Calls that leave in one piece; see `stack.rpc.batch.Batch`."""

    def add(self, call: Coroutine[Any, Any, T]) -> Added[T]:
        """Add a call, like `client.CALC_DO(a)`."""

    async def __aenter__(self) -> Self:
        """Begin to collect."""

    async def __aexit__(self, *of: object) -> None:
        """Send what was added, and wait for all replies."""


class Caller(Protocol):
    """What stubs are built on."""

    async def __call__(self, procedure: Procedure, args: tuple[Any, ...], options: CallOptions, /) -> Any:
        """Make a call; returns its result.  Raises XdrError for what cannot be marshalled, RpcError for all else."""

    def batch(self) -> Batching:
        """Calls that leave together."""


class Client:
    """Base of the stubs of all versions.

    `call` is what all of their methods are built on.
    """

    __slots__ = ("_call",)

    interface: ClassVar[type[Version]]

    def __init__(self, call: Caller) -> None:
        self._call = call

    def batch(self) -> Batching:
        """Calls that leave in one piece, by `async with client.batch() as batch:`; see `stack.rpc.batch.Batch`."""
        return self._call.batch()

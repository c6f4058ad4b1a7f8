"""Messages of the DNS (RFC 1035 §4): `Message.parse(wire)` and `message.build()`.

    query = Message.query(Name.parse("www.example.test"), RRType.A, id=4711, edns=Edns())
    reply = Message.parse(wire)                      # raises FormError: count its reason, drop the message
    for rrset in reply.answer: print(rrset)

Whole RRsets are what sections consist of.  The OPT record is no member of a section but `edns`; the response code has
its 12 bits whether they come from the header alone or not.
"""

import struct
from typing import Final

from stack.dns.building import build_message
from stack.dns.constants import MAX_MESSAGE, UDP_SIZE, Opcode, Rcode, RRClass, opcode_text, rcode_text
from stack.dns.edns import Edns
from stack.dns.errors import FormError, FormReason
from stack.dns.names import HEADER, Name
from stack.dns.parsing import MIN_QUESTION, MIN_RECORD, Opt, read_question, read_records
from stack.dns.rrset import Question, RRset

__all__ = ["Edns", "Message", "Question", "RRset"]

QR: Final = 0x8000
AA: Final = 0x0400
TC: Final = 0x0200
RD: Final = 0x0100
RA: Final = 0x0080
AD: Final = 0x0020
CD: Final = 0x0010
FLAGS: Final = QR | AA | TC | RD | RA | AD | CD
_FLAG_TEXT: Final = ((QR, "qr"), (AA, "aa"), (TC, "tc"), (RD, "rd"), (RA, "ra"), (AD, "ad"), (CD, "cd"))
_HEADER: Final = struct.Struct("!6H").unpack_from


class Message:
    """A query or a response."""

    __slots__ = (
        "additional",
        "answer",
        "authority",
        "edns",
        "flags",
        "id",
        "opcode",
        "question",
        "rcode",
    )

    def __init__(
        self,
        id: int = 0,  # noqa: A002  # the name that RFC 1035 gives it
        *,
        flags: int = 0,
        opcode: int = Opcode.QUERY,
        rcode: int = Rcode.NOERROR,
        question: Question | None = None,
        edns: Edns | None = None,
    ) -> None:
        self.id = id
        self.flags = flags
        self.opcode = opcode
        self.rcode = rcode
        self.question = question
        self.edns = edns
        self.answer: list[RRset] = []
        self.authority: list[RRset] = []
        self.additional: list[RRset] = []

    @classmethod
    def query(
        cls,
        name: Name,
        rrtype: int,
        *,
        id: int,  # noqa: A002  # the name that RFC 1035 gives it
        rrclass: int = RRClass.IN,
        rd: bool = True,
        edns: Edns | None = None,
    ) -> "Message":
        """A question; `rd`: the server shall ask others."""
        return cls(id, flags=RD if rd else 0, question=Question(name, int(rrtype), int(rrclass)), edns=edns)

    def reply(self, rcode: int = Rcode.NOERROR) -> "Message":
        """An empty response to this query: its id, question, opcode, RD and CD (RFC 4035 §3.1.6)."""
        return Message(
            self.id, flags=QR | (self.flags & (RD | CD)), opcode=self.opcode, rcode=rcode, question=self.question
        )

    @staticmethod
    def parse(octets: bytes | bytearray | memoryview) -> "Message":
        """The message that these octets are.  Raises FormError, and nothing else, whatever they are."""
        # of a bytearray or memoryview not even the names could be kept
        wire = octets if type(octets) is bytes else bytes(octets)
        size = len(wire)
        if size < HEADER:
            raise FormError(FormReason.SHORT, f"{size} octets")
        id_, bits, questions, answers, authorities, additionals = _HEADER(wire)
        message = Message(id_, flags=bits & FLAGS, opcode=bits >> 11 & 15, rcode=bits & 15)
        memo: dict[int, Name] = {}
        opt = Opt()
        try:
            if HEADER + MIN_QUESTION * questions > size:
                raise FormError(FormReason.COUNTS, f"{questions} questions in {size} octets")
            message.question, at = read_question(wire, questions, memo)
            least = MIN_RECORD * (answers + authorities + additionals)
            if at + least > size:
                raise FormError(FormReason.COUNTS, f"records of at least {least} octets in {size - at}")
            if answers:
                message.answer, at = read_records(wire, at, answers, memo, None)
            if authorities:
                message.authority, at = read_records(wire, at, authorities, memo, None)
            if additionals:
                message.additional, at = read_records(wire, at, additionals, memo, opt)
                message.edns = opt.edns
                message.rcode |= opt.rcode
        except (IndexError, struct.error):
            raise FormError(FormReason.SHORT, f"{size} octets") from None
        if at != size:
            raise FormError(FormReason.TRAILING, f"{size - at} octets")
        return message

    def build(self, max_size: int = UDP_SIZE, *, pad: int = 0) -> bytes:
        """Its octets, at most `max_size`.

        Names are compressed.  RRsets that do not fit are left out as a whole; TC is set then, unless they are only
        additional ones that nobody needs.  `pad`: with EDNS, fill up to a multiple of this (RFC 8467 §4).
        Raises ValueError for values that no message can hold.
        """
        return build_message(self, min(max_size, MAX_MESSAGE), pad)

    @property
    def qr(self) -> bool:
        """It is a response."""
        return self.flags & QR != 0

    @qr.setter
    def qr(self, value: bool) -> None:
        self._set(QR, value)

    @property
    def aa(self) -> bool:
        """The server is an authority for the name."""
        return self.flags & AA != 0

    @aa.setter
    def aa(self, value: bool) -> None:
        self._set(AA, value)

    @property
    def tc(self) -> bool:
        """It was cut short."""
        return self.flags & TC != 0

    @tc.setter
    def tc(self, value: bool) -> None:
        self._set(TC, value)

    @property
    def rd(self) -> bool:
        """Recursion is wanted."""
        return self.flags & RD != 0

    @rd.setter
    def rd(self, value: bool) -> None:
        self._set(RD, value)

    @property
    def ra(self) -> bool:
        """Recursion is available."""
        return self.flags & RA != 0

    @ra.setter
    def ra(self, value: bool) -> None:
        self._set(RA, value)

    @property
    def ad(self) -> bool:
        """The server says that it validated the data."""
        return self.flags & AD != 0

    @ad.setter
    def ad(self, value: bool) -> None:
        self._set(AD, value)

    @property
    def cd(self) -> bool:
        """The client validates by itself."""
        return self.flags & CD != 0

    @cd.setter
    def cd(self, value: bool) -> None:
        self._set(CD, value)

    def _set(self, bit: int, value: bool) -> None:
        self.flags = self.flags | bit if value else self.flags & ~bit

    @property
    def sections(self) -> tuple[list[RRset], list[RRset], list[RRset]]:
        """Answer, authority, additional."""
        return self.answer, self.authority, self.additional

    def flags_text(self) -> str:
        """Like "qr aa rd"."""
        return " ".join([text for bit, text in _FLAG_TEXT if self.flags & bit])

    def __str__(self) -> str:
        """In the manner of dig."""
        lines = [
            f";; opcode: {opcode_text(self.opcode)}, status: {rcode_text(self.rcode)}, id: {self.id}",
            f";; flags: {self.flags_text()}; QUERY: {int(self.question is not None)}, "
            + ", ".join(
                f"{title}: {sum(map(len, section))}"
                for title, section in zip(("ANSWER", "AUTHORITY", "ADDITIONAL"), self.sections, strict=True)
            ),
        ]
        if self.edns is not None:
            lines.append(f";; EDNS: version {self.edns.version}, udp: {self.edns.udp_size}{' do' * self.edns.do}")
            lines += [f";; EDE: {ede}" for ede in self.edns.ede]
        if self.question is not None:
            lines += ["", ";; QUESTION SECTION:", f";{self.question}"]
        for title, section in zip(("ANSWER", "AUTHORITY", "ADDITIONAL"), self.sections, strict=True):
            if section:
                lines += ["", f";; {title} SECTION:", *map(str, section)]
        return "\n".join(lines)

    def __repr__(self) -> str:
        asked = "no question" if self.question is None else str(self.question)
        return f"<Message {self.id} {asked}: {rcode_text(self.rcode)} [{self.flags_text()}]>"

"""Bytes to questions and answers to bytes; dnslib does the format.

Truncation is here: over UDP an answer that does not fit what the client takes is cut to its
question with TC set, so that it asks again over TCP.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dnslib import (
    AAAA,
    CNAME,
    EDNS0,
    NS,
    PTR,
    QTYPE,
    RCODE,
    RR,
    SOA,
    SRV,
    TXT,
    A,
    DNSError,
    DNSHeader,
    DNSRecord,
)

from pykubelet.dns.answers import Answer
from pykubelet.dns.zone import Record

#: What we take by UDP ourselves, and say so: what fits every path (DNS flag day 2020).
UDP_PAYLOAD = 1232
PLAIN_UDP = 512

_QUERY = 0
_OPT = 41


@dataclass(frozen=True, slots=True)
class Question:
    """`name` in lower case without its last dot. `payload` is what the client takes by UDP, 0
    where it knows no EDNS."""

    record: DNSRecord
    name: str
    kind: str
    edns_payload: int

    @property
    def payload(self) -> int:
        return max(PLAIN_UDP, self.edns_payload)


class Malformed(Exception):
    """Not a query. `reply` is what to send back, nothing where even that is not possible."""

    def __init__(self, reply: bytes = b"") -> None:
        self.reply = reply
        super().__init__("malformed query")


def read(data: bytes) -> Question:
    """Raises Malformed."""
    try:
        record = DNSRecord.parse(data)
    except (DNSError, ValueError, IndexError, KeyError, UnicodeError) as error:
        raise Malformed(_error(data, RCODE.FORMERR)) from error
    if record.header.qr:
        raise Malformed()  # an answer: to answer it might never end
    if record.header.opcode != _QUERY:
        raise Malformed(_error(data, RCODE.NOTIMP))
    if len(record.questions) != 1:
        raise Malformed(_error(data, RCODE.FORMERR))
    name = str(record.q.qname).rstrip(".").lower()
    payload = next((rr.rclass for rr in record.ar if rr.rtype == _OPT), 0)
    return Question(record, name, _kind(record.q.qtype), payload)


def reply(question: Question, found: Answer) -> bytes:
    """The whole answer. `fit` cuts it where it has to go by UDP."""
    made = _empty(question, found.rcode)
    made.header.aa = 1
    for add, records in (
        (made.add_answer, found.answer),
        (made.add_auth, found.authority),
        (made.add_ar, found.additional),
    ):
        add(*_resource_records(records, question))
    return _packed(made, question)


def refusal(question: Question, rcode: str) -> bytes:
    return _packed(_empty(question, rcode), question)


def question_about(question: Question, name: str) -> bytes:
    """The same question about another name, to be asked elsewhere."""
    asked = DNSRecord.question(name, question.kind)
    asked.header.rd = 1
    asked.add_ar(EDNS0(udp_len=UDP_PAYLOAD))
    return bytes(asked.pack())


def joined(question: Question, found: Answer, elsewhere: bytes) -> bytes:
    """Our alias, followed by what the resolver of its target answered."""
    made = _empty(question, "NOERROR")
    made.add_answer(*_resource_records(found.answer, question))
    rest = DNSRecord.parse(elsewhere)
    made.header.rcode = rest.header.rcode
    made.add_answer(*rest.rr)
    return _packed(made, question)


def fit(answer: bytes, question: Question, limit: int) -> bytes:
    """The bytes, cut to the question where they are more than `limit`."""
    if len(answer) <= limit:
        return answer
    cut = _empty(question, "NOERROR")
    cut.header.rcode = answer[3] & 0x0F
    cut.header.aa = answer[2] >> 2 & 1
    cut.header.tc = 1
    return _packed(cut, question)


def _empty(question: Question, rcode: str) -> DNSRecord:
    header = DNSHeader(
        id=question.record.header.id,
        qr=1,
        rd=question.record.header.rd,
        ra=1,
        rcode=getattr(RCODE, rcode),
    )
    # The client's own spelling of the name goes back: some compare it, for safety's sake.
    return DNSRecord(header, q=question.record.q)


def _packed(made: DNSRecord, question: Question) -> bytes:
    if question.edns_payload:
        made.add_ar(EDNS0(udp_len=UDP_PAYLOAD))
    return bytes(made.pack())


def _resource_records(records: Iterable[Record], question: Question) -> list[RR]:
    asked = question.record.q.qname
    return [
        RR(
            asked if record.name == question.name else record.name,
            getattr(QTYPE, record.kind),
            rdata=_data(record),
            ttl=record.ttl,
        )
        for record in records
    ]


def _data(record: Record) -> object:
    data = record.data
    match record.kind:
        case "A":
            return A(data)
        case "AAAA":
            return AAAA(data)
        case "CNAME":
            return CNAME(data)
        case "NS":
            return NS(data)
        case "PTR":
            return PTR(data)
        case "TXT":
            return TXT(data.strip('"'))
        case "SRV":
            priority, weight, port, target = data.split()
            return SRV(int(priority), int(weight), int(port), target)
        case "SOA":
            name, mail, *times = data.split()
            return SOA(name, mail, tuple(int(t) for t in times))
    raise ValueError(record.kind)


def _kind(number: int) -> str:
    try:
        return str(QTYPE[number])
    except DNSError:
        return f"TYPE{number}"


def _error(data: bytes, rcode: int) -> bytes:
    """An error needs the ID only; shorter than a header, or an answer, gets nothing."""
    if len(data) < 12 or data[2] & 0x80:
        return b""
    return data[:2] + bytes((0x80 | data[2] & 0x79, 0x80 | rcode)) + bytes(8)

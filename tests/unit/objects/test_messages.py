"""Protobuf messages from tables: what is written in one is what goes over the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.errors import Invalid
from pykubelet.objects.wire.messages import Table, load

TABLE = Table(
    """
    # comments and blank lines are nothing
    """.strip()
    + """
syntax proto3
package shapes.common

message Point
    1 x int64
    2 y int64

package shapes.v1

enum Colour RED GREEN BLUE=7 BLACK
    WHITE            # goes on after 8
message Shape
    1 name string
    2 colour Colour
    3 corners [shapes.common.Point]
    4 tags {string string}
    5 by_name {string Shape}
    6 weight int32?
    7 circle string |kind
    8 square int32 |kind
    9 digits [int32]
    10 raw bytes
service Shapes
    Draw Shape -> Shape
    Watch Shape -> stream shapes.common.Point
    Feed stream Shape -> Shape
"""
)
Shape = TABLE["Shape"]


def test_fields_are_given_as_plain_values() -> None:
    shape = Shape(
        name="s",
        colour="BLUE",
        corners=[{"x": 1}, {"x": 2, "y": -3}],
        tags={"a": "b"},
        by_name={"inner": {"name": "i"}},
    )
    assert Shape.FromString(shape.SerializeToString()) == shape
    assert [(p.x, p.y) for p in shape.corners] == [(1, 0), (2, -3)]
    assert shape.colour == 7
    assert shape.by_name["inner"].name == "i"


def test_the_bytes_are_protobufs() -> None:
    # Field 1, length-delimited, "ab"; field 2, varint 1; field 9, packed as proto3 has it.
    assert Shape(name="ab", colour="GREEN", digits=[1, 2]).SerializeToString() == bytes.fromhex(
        "0a026162 1001 4a020102"
    )


def test_enum_values_count_on_from_the_last_number_given() -> None:
    assert TABLE.enum("Colour") == {"RED": 0, "GREEN": 1, "BLUE": 7, "BLACK": 8, "WHITE": 9}


def test_zero_and_not_set_are_told_apart_where_the_table_asks_for_it() -> None:
    assert not Shape().HasField("weight")
    assert Shape(weight=0).HasField("weight")
    assert Shape.FromString(Shape(weight=0).SerializeToString()).HasField("weight")


def test_of_a_oneof_the_last_member_set_stays() -> None:
    shape = Shape(circle="c")
    shape.square = 0
    assert shape.WhichOneof("kind") == "square"


def test_proto2_keeps_presence_and_packs_nothing() -> None:
    table = Table("syntax proto2\npackage old\nmessage M\n    1 n int32\n    2 many [int32]")
    message = table["M"](n=0, many=[1, 2])
    assert message.SerializeToString() == bytes.fromhex("0800 1001 1002")


def test_methods_know_their_path_and_what_streams() -> None:
    methods = TABLE.methods("Shapes")
    assert methods["Draw"].path == "/shapes.v1.Shapes/Draw"
    streams = {n: (m.request_streams, m.response_streams) for n, m in methods.items()}
    assert streams == {"Draw": (False, False), "Watch": (False, True), "Feed": (True, False)}
    assert methods["Watch"].response is TABLE["shapes.common.Point"]


def test_two_tables_may_use_the_same_names() -> None:
    text = "syntax proto3\npackage p\nmessage M\n    1 a {}\n"
    first, second = Table(text.format("string")), Table(text.format("int32"))
    assert first["M"](a="x").a == "x"
    assert second["M"](a=1).a == 1


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("message M\n    1 a\n", "table:2"),
        ("message M\n    one a string\n", "table:2"),
        ("thing M\n", "table:1"),
        ("    1 a string\n", "table:1"),
        ("message M\n    1 a Nowhere\n", "Nowhere"),
        ("syntax proto4\n", "table:1"),
    ],
)
def test_a_wrong_line_is_named(text: str, where: str) -> None:
    with pytest.raises(Invalid, match=where):
        Table(text)


@given(st.dictionaries(st.text(), st.text()), st.lists(st.integers(-(2**31), 2**31 - 1)))
def test_whatever_goes_in_comes_out(tags: dict[str, str], digits: list[int]) -> None:
    back = Shape.FromString(Shape(tags=tags, digits=digits).SerializeToString())
    assert dict(back.tags) == tags
    assert list(back.digits) == digits


def test_unknown_fields_of_a_newer_peer_are_harmless() -> None:
    newer = Table(
        "syntax proto3\npackage shapes.v1\nmessage Shape\n    1 name string\n    99 n int32"
    )
    assert Shape.FromString(newer["Shape"](name="x", n=5).SerializeToString()).name == "x"


def test_the_shipped_cri_table_is_whole() -> None:
    table = load("pykubelet.kubelet.runtime", "cri.schema")
    assert len(table.methods("RuntimeService")) >= 30
    config = table["PodSandboxConfig"](
        metadata={"name": "n", "uid": "u", "namespace": "s", "attempt": 1},
        linux={"security_context": {"namespace_options": {"network": "NODE"}}},
    )
    assert config.SerializeToString() == bytes.fromhex("0a0b 0a016e 120175 1a0173 2001") + bytes(
        [0x42, 6, 0x12, 4, 0x0A, 2, 0x08, 2]
    )

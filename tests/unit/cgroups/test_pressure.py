"""PSI files as values."""

from __future__ import annotations

from pykubelet.kubelet.cgroups import pressure

MEMORY = """some avg10=1.50 avg60=0.25 avg300=0.01 total=344
full avg10=0.00 avg60=0.00 avg300=0.00 total=178
"""


def test_some_and_full_are_told_apart() -> None:
    found = pressure.parse({"memory": MEMORY, "cpu": "some avg10=0.00 avg60=0.00 total=7"})
    assert found.some["memory"] == pressure.Stall(1.5, 0.25, 0.01, 344)
    assert found.full["memory"].total == 178
    assert found.some["cpu"].total == 7
    assert "cpu" not in found.full


def test_what_is_not_psi_is_left_out() -> None:
    assert pressure.parse({"io": "nonsense\nsome words\n"}) == pressure.Pressure()

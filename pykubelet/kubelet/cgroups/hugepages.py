"""Which huge pages this host has.

Sizes are spelled as the hugetlb controller's files spell them ("2MB", "1GB"). `limits` bounds every
size that exists; `..node.info` reports the pages as capacity. Reads /sys/kernel/mm/hugepages.
"""

from __future__ import annotations

import os

from pykubelet.kubelet.cgroups.limits import page_size_name

_FOLDER = "/sys/kernel/mm/hugepages"


def page_sizes(folder: str = _FOLDER) -> tuple[str, ...]:
    """Every size that the kernel supports, smallest first."""
    return tuple(page_size_name(size) for size in sorted(_sizes(folder)))


def totals(folder: str = _FOLDER) -> dict[int, int]:
    """Bytes set aside as huge pages, by page size in bytes."""
    found: dict[int, int] = {}
    for size, name in _sizes(folder).items():
        try:
            with open(os.path.join(folder, name, "nr_hugepages")) as file:
                found[size] = int(file.read()) * size
        except OSError:
            continue
    return found


def _sizes(folder: str) -> dict[int, str]:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return {}
    # hugepages-2048kB
    return {int(n.removeprefix("hugepages-").removesuffix("kB")) * 1024: n for n in names}

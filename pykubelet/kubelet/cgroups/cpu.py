"""CPU figures in the kernel's units.

Kubernetes counts CPU in millicores, cgroup v1 and CRI in shares (2 to 262144, 1024 a core) and
CFS quota per period, cgroup v2 in weight (1 to 10000, 100 being everybody's default).
Pure; `limits` and `tree` calculate with it.
"""

from __future__ import annotations

import math

MIN_SHARES = 2
MAX_SHARES = 262_144
SHARES_PER_CPU = 1024

#: Microseconds. The period is what upstream calls --cpu-cfs-quota-period.
DEFAULT_PERIOD = 100_000
MIN_QUOTA = 1_000

#: No limit, said aloud: CRI reads 0 as "leave it as it is", which a resize must not mean.
UNLIMITED = -1


def milli_to_shares(milli: int) -> int:
    """Millicores to CFS shares. Nothing asked for is the least, not the kernel's default."""
    return min(max(milli * SHARES_PER_CPU // 1000, MIN_SHARES), MAX_SHARES)


def milli_to_quota(milli: int, period: int = DEFAULT_PERIOD) -> int:
    """Millicores to microseconds of CPU time a period, at least 1 ms; UNLIMITED for 0."""
    if not milli:
        return UNLIMITED
    return max(milli * period // 1000, MIN_QUOTA)


def shares_to_weight(shares: int) -> int:
    """cgroup v1 shares to cgroup v2 weight, by the curve of runc 1.3.2 and crun 1.23 on.

    It meets (2, 1), (1024, 100) and (262144, 10000). The straight line that KEP-2254 began with
    maps one core to weight 39, so that a pod which asked for a whole core lost against any system
    service at the default of 100. An older runtime still draws that line inside the pod's group;
    siblings are always weighed by one and the same formula, so the mixture does no harm.
    """
    if shares <= MIN_SHARES:
        return 1
    if shares >= MAX_SHARES:
        return 10_000
    log = math.log2(shares)
    exponent = (log * log + 125 * log) / 612 - 7 / 34
    # The curve meets 100 at 1024 exactly; floating point must not make it 101.
    return math.ceil(round(10**exponent, 9))

"""The agent's configuration: upstream's KubeletConfiguration file, drop-ins and flags.

`configuration` is the table, `loading` makes the value, `views` shows it.
"""

from pykubelet.kubelet.config.configuration import Configuration
from pykubelet.kubelet.config.flags import add_flags
from pykubelet.kubelet.config.loading import load
from pykubelet.kubelet.config.reading import Rejected
from pykubelet.kubelet.config.views import Difference, configz, difference, taken_up

__all__ = [
    "Configuration",
    "Difference",
    "Rejected",
    "add_flags",
    "configz",
    "difference",
    "load",
    "taken_up",
]

"""The scheduler's configuration: upstream's KubeSchedulerConfiguration file, and flags.

`shape` says what may stand in the file, `loading` makes the value.
"""

from pykubelet.scheduler.config.loading import Configuration, load

__all__ = ["Configuration", "load"]

"""DaemonSet: one pod on each node that takes it.

`nodes` says which nodes do and makes the pod for one, `decision` what is to be made and deleted,
rolling a new template out as carefully as asked; both are pure. `controller` carries out.
Source: the DaemonSet reference (apps/v1) and its concept page.
"""

from pykubelet.controllers.daemonset.controller import DaemonSetController

__all__ = ["DaemonSetController"]

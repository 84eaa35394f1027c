"""pyroute2's netlink message classes, at a tenth of the price of importing pyroute2.

`import pyroute2` runs the package's `__init__`, which loads every protocol it knows and asyncio:
25 MB and 150 ms, more than a third of the agent's memory budget. The message classes themselves
(what a link, address, route or neighbour message looks like on the wire) cost 3 MB. So the parent
package is put in place first as a module that runs its `__init__` only when somebody asks it for
a name that only the whole package has. `from pyroute2 import IPRoute` anywhere else in the
process therefore works as always, and pays only then.

Only `messages` and `netlink` import this module.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from typing import Any


class _Package(types.ModuleType):
    """A package whose submodules import at once and whose own body runs on first need."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return importlib.import_module(f"{self.__name__}.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"{self.__name__}.{name}":
                raise
        spec = self.__spec__
        assert spec is not None
        assert spec.loader is not None
        self.__class__ = types.ModuleType  # type: ignore[assignment]
        spec.loader.exec_module(self)
        return getattr(self, name)


def _prepare() -> None:
    if "pyroute2" in sys.modules:
        return
    spec = importlib.util.find_spec("pyroute2")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("pyroute2 is not installed", name="pyroute2")
    package = _Package("pyroute2")
    package.__spec__ = spec
    package.__file__ = spec.origin
    package.__path__ = list(spec.submodule_search_locations or [])
    package.__loader__ = spec.loader
    package.__package__ = "pyroute2"
    sys.modules["pyroute2"] = package


_prepare()

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg  # noqa: E402
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg  # noqa: E402
from pyroute2.netlink.rtnl.ndmsg import ndmsg  # noqa: E402
from pyroute2.netlink.rtnl.rtmsg import rtmsg  # noqa: E402

__all__ = ["ifaddrmsg", "ifinfmsg", "ndmsg", "rtmsg"]

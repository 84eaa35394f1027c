"""StatefulSet: pods with names that stay, one after another, each with claims of its own.

`identity` makes pods and claims of an ordinal, `retention` says who owns a claim, `decision` what
is to be done next; these are pure. `controller` carries out; old templates are kept by
`controllers.revisions`. Source: the StatefulSet reference (apps/v1) and its concept page.
"""

from pykubelet.controllers.statefulset.controller import StatefulSetController

__all__ = ["StatefulSetController"]

"""`vm_tests` are run inside a virtual machine by `test_vm`, not on the host."""

import os

from tests.lab.vm import IN_VM

collect_ignore = [] if os.environ.get(IN_VM) else ["vm_tests"]

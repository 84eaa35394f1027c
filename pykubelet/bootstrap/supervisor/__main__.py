"""`python -m pykubelet.bootstrap.supervisor`."""

import sys

from pykubelet.bootstrap.supervisor.control import main

sys.exit(main())

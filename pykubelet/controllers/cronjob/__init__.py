"""CronJob: Jobs by the clock.

`schedule` reads cron expressions and finds the next time, `decision` which Job to start and which
to clear away; both are pure. `controller` carries out. Source: the CronJob reference (batch/v1).
"""

from pykubelet.controllers.cronjob.controller import CronJobController

__all__ = ["CronJobController"]

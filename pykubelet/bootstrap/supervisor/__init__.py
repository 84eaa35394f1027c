"""The small supervisor for hosts where systemd is not PID 1: containers, minimal VMs, CI.

It does for two daemons what their systemd units do: starts them in order, knows when they are ready
and whether they still live, restarts them with growing pauses, keeps and turns over their logs. As
with systemd, stopping or losing it stops no pod. `machine` decides (pure), `daemon` acts,
`services` says what is run, `control` is how the command line talks to the daemon.
"""

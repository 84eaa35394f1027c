"""What the node reports of itself, and how it keeps itself healthy.

`info`, `amounts`, `addresses` and `conditions` make the v1.Node that `status` composes; `figures`
is what is measured (by `gathering` and `readings`), `stats` and `metrics` are its written forms;
`pressure`, `eviction`, `storage_limits` and `evictor` watch over memory, disk and processes;
`garbage`, `collector` and `logs` clean up; `host` checks the host before anything starts.
"""

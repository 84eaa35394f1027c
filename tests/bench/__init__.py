"""What the agent costs, beside what it can't do without: `python -m tests.bench [NAME…]`.

Each module measures one subject on real parts and gives rows; nothing here passes or fails.
Machines are noisy, so each figure is taken beside its raw limit (the same work done by nothing but
the calls that nobody can avoid), in turn, in the same run, and is to be read as a ratio.
"""

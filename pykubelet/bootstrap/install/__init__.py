"""What `systemd/install.sh` does once pykubelet has a Python environment of its own.

The shell script fetches packages and makes the environment; everything after that is here, in
Python, so that it can be tested: `checks` looks at the host and says what is wrong, `containerd`
decides about the runtime's configuration (pure), `record` remembers what was changed, `managers`
starts and stops daemons under systemd or our supervisor, `installing` and `removing` are the two
stories, step by step. `paths` says where everything lies.
"""

"""The storage contract and its engines: SQLite and etcd."""

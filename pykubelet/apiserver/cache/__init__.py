"""What the store holds, in memory: encoded objects, small indices, and the events of late."""

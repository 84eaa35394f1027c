"""What several tests share: throw-away machines, waiting, leak checks."""

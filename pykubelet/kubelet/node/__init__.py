"""What the node reports and protects: conditions, capacity, eviction, garbage, stats."""

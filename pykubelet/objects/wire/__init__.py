"""Wire formats: protobuf messages made from compact tables."""

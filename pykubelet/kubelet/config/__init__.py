"""KubeletConfiguration: read, defaulted, checked."""

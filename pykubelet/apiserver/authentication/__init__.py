"""Who is asking: client certificates, tokens, and nobody."""

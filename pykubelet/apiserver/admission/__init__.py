"""What is looked at, or changed, before an object is stored. One module for each plugin.

A plugin is `async (call, operation, new, old) -> None`; it changes `new` in place or raises a
Refusal. Operations: CREATE, UPDATE, DELETE, CONNECT.
"""

"""What is looked at, or changed, before an object is stored. One module for each plugin, or for a
few small ones that belong together; `chain` is what they have in common, `plugins` their order.
"""

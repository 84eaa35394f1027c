"""Do the values in an object make sense? Field by field, in upstream's words.

One module for each subject; each function yields the FieldErrors of its part, given the part and
the path that leads to it. All expect objects that have passed the shape check and defaulting.
"""

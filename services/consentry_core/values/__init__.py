"""Values that everything else is made of: time, errors, names, pages, and texts from outside.

In: what a program or a caller gives. Out: checked values, or an error of ours that says what to do.
No I/O, no state. Imports the standard library only.
"""

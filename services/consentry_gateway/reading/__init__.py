"""From what an agent answered to devices, readings and alarms, by profiles that are data. No I/O.

A poll goes `recognition` -> `rows` and `parts` -> `decode` -> `presence` -> `conditions`, `troubles` and `alarms`. `model` has
the values that come out.
"""

"""Devices, alarms and frames as values: what a gateway may say, and what it makes of how things stand.

In: a parsed frame and the state before it. Out: the changes that it makes, or an error with the field's name. No I/O; imports
`blocks` and core's values only.
"""

"""The ordered log of everything that happened to devices, behind its port.

`entries` is the port, `appender` its one writer, `engine` what it is kept in (`memory`, or SQL in `storage`), `ring` the newest
entries for all readers, `behind` the older ones. In: groups of frames. Out: entries in one order, and bells. Imports `domain`.
"""

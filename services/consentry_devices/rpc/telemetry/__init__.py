"""Everything of TelemetryService: newest values, history, simulation, and the gaps in them.

In: its requests. Out: rows and columns, each checked in the step that begins its write.
"""

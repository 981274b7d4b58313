"""The demo: the whole story with real processes, on recordings of real devices."""

"""The feed: one ordered log of everything that happened to devices, and those who read it."""

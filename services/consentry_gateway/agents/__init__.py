"""The agents file: which locations there are, which agents stand in them, and how each is reached."""

"""The place of each change in the history: its revision, what it touched, which change made a wish true, what is let go of."""

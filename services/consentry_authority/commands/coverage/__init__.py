"""What a key covers, listed and watched. `work` shares out what that costs, `open_watches` keeps it once a key."""

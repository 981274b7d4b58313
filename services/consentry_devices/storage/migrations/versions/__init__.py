"""The steps, oldest first. What has been released is never edited."""

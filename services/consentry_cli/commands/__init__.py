"""The commands, one group a file; each is imported when it is asked for. They call the services as any client does."""

"""The guard's connection to the authority."""

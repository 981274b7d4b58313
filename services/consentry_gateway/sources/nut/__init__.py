"""Network UPS Tools as a source of readings."""

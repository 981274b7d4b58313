"""Redfish as a source of readings."""

"""Modbus TCP as a source of readings."""

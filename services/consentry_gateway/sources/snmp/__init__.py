"""SNMP agents as a source of readings."""

"""What goes over the wire to the device-data service."""

"""`consentry ...`: runs the services, and administers them over their API. One noun a file."""

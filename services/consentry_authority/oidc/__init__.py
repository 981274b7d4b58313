"""Administrators who were signed in by an OpenID Connect provider: their bearer token is a signed JWT instead of one of ours."""

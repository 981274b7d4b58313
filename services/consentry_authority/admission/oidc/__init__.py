"""Administrators whom an OpenID Connect provider signed in: their bearer token is a signed JWT instead of one of ours."""

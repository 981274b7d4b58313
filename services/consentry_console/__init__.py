"""The console: the web pages on which customers give and take consent, and partners keep their API keys.

It calls the authority like anybody else, with the token of whoever is signed in. It holds no database and no rule.
"""

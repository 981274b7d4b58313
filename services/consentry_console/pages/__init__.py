"""The pages, one file for each kind of person. A page asks the authority as whoever is signed in, and shows what it answered.

Whoever has no session is sent to sign in; whoever has another role is told that there is no such page. Pages decide nothing.
"""

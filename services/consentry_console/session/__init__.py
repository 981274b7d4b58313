"""Who is signed in: sessions on the server, and how somebody signs in and out.

In: a token, pasted once, or a one-time link. Out: a session, known to the browser by a random cookie. The token itself never
goes back to a browser.
"""

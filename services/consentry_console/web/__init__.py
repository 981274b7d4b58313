"""What every page shares: headers that browsers obey, forms that only our pages can send, templates, texts, times.

In: requests from anybody. Out: responses that no other site can frame, script or send a form for.
"""

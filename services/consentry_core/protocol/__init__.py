"""What guard and authority say to each other: `follow` free of transport, and converters to the wire in pairs.

In: the messages of `Follow` and of credentials, and the classes of data that any message names. Out: the same as frozen
dataclasses, and back. Both sides import it, and that is why it is here. Imports `values`, the rule and the generated code.
"""

"""What is known of credentials and customers, and whether it may be acted on: lease, interests, deadlines.

In: the messages of `Follow` and the time. Out: messages, and facts that may be used now. No I/O.
"""

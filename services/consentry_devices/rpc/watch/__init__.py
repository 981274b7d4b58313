"""Everything of `Watch`: what it asks, what it is told, and the stream that carries a `feed.reader`.

In: a WatchRequest of a call that was let in. Out: feed messages, each checked in the step that begins its write.
"""

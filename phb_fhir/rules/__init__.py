"""The domain, as pure functions over resources: what may be written about a personal health budget, and what follows from it.

Read `book` first: RULES says which rules judge writes of which type. A rule is a generator (`case`): it is given a `Case`, yields the
questions whose answers it needs, and returns a `Decision`. It fetches nothing, waits for nothing and looks at no clock, so that a
transaction may ask it again. `interactions/judging` answers the questions, from what is stored and what is about to be written.
"""

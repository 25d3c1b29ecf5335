"""`make bench`: how much this server costs beside what it is made of. The method is in docs/performance.md."""

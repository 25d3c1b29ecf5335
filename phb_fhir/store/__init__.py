"""The only room that knows MongoDB."""

import sys

# TLS to MongoDB is the standard library's. PyMongo prefers pyOpenSSL where it is installed, which nobody here needs; looking for it
# would load all of `cryptography` into every server, as many megabytes as a hundred budgets' worth of definitions
sys.modules.setdefault("pymongo.pyopenssl_context", None)  # type: ignore[arg-type]

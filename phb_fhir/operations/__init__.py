"""$operations, one file each or one for several that are alike; `registry` is the table of them."""

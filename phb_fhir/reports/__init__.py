"""Reports: what the record comes to, read and never written. An operation or a command asks; nothing here knows HTTP."""

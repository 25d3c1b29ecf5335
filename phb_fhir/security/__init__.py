"""Who is asking, and may they: who they are (authenticate), what they may do (policy), and what is kept of it (audit)."""

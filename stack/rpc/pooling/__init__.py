"""Many servers of one program behind one client: who is called, and what is done when a server fails."""

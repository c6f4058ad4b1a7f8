"""What a server has registered stays so; on virtual time."""

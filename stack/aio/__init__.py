"""Layer 4: asyncio drives a Host."""

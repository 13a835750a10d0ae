"""Foreign tools, one file a tool: reads it into a run, writes a run into it, or both."""

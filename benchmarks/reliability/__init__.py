"""What survives accidents: scripts that kill, fail and count."""

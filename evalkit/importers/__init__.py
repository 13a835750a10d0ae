"""Results that other tools wrote, as evidence of ordinary runs."""

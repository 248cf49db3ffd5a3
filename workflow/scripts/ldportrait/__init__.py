"""LD-Portrait's library: what the commands in workflow/scripts/ share."""

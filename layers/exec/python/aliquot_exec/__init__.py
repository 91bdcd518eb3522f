"""Records worked on by programs in any language: the job `exec`, and what it needs to speak with them."""

"""What a person has typed so far, and what helps to complete it."""

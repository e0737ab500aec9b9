"""What the user has typed so far (model), its findings (check), and help to complete it."""

"""Plan x Facts -> Findings: `check` runs all rules, `in_force` those for a running gateway; one module per subject."""

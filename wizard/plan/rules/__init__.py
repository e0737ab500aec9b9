"""Plan x Facts -> Findings: one module for each thing that is looked at."""

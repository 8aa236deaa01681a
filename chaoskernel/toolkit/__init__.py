"""What the Chaos Toolkit is shown: errors, evidence for the journal, experiments."""

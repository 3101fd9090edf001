"""How fast verdicts are on this machine: questions, a load of so many clients, and the figures as files."""

"""What runs: one short module a process of the pipeline. Plug your own code in here."""

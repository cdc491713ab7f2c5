"""The rollout: from weight 0 to live by a plan that was written down before (docs/design.md, section 9)."""

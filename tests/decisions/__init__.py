"""`make statistics`: what the gate's guarantees and its speed come to on streams whose truth is known."""

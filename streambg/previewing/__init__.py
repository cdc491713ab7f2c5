"""What a weight would change: counted from the predictions that both colors have made already."""

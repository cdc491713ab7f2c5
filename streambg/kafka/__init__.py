"""Kafka at the edge: client profiles, what their errors mean, admin helpers."""

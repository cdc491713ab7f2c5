"""Blue-green deployment for models that score Kafka topics."""

__version__ = "0.1.0"

"""Kill -9, power-cut and I/O-fault harnesses for duolog, driven by real Kafka clients."""

//! Simulated time, chance and disk.

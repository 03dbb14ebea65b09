//! Durations and their percentiles.

use std::time::Duration;

use serde_json::{Value, json};

/// Measured durations.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    /// None yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// One more.
    pub fn add(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// All of the other's too.
    pub fn join(&mut self, other: Samples) {
        self.0.extend(other.0);
    }

    /// The smallest sample that `percent` of all are not above (nearest rank), in microseconds.
    fn percentile_us(&self, percent: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).map_or(f64::NAN, |sample| sample.as_secs_f64() * 1e6)
    }

    /// The median, in microseconds.
    pub fn p50_us(&self) -> f64 {
        self.percentile_us(50.0)
    }

    /// What is printed of them.
    pub fn report(&self) -> Value {
        json!({
            "count": self.0.len(),
            "p50_us": self.percentile_us(50.0),
            "p99_us": self.percentile_us(99.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let mut samples = Samples::default();
        for us in (1..=200).rev() {
            samples.add(Duration::from_micros(us));
        }
        assert!((samples.percentile_us(50.0) - 100.0).abs() < 1e-6);
        assert!((samples.percentile_us(99.0) - 198.0).abs() < 1e-6);
        assert!((samples.percentile_us(100.0) - 200.0).abs() < 1e-6);
        assert!(Samples::default().percentile_us(50.0).is_nan());
    }
}

//! What a measurement found, and whether it is good enough.

use std::fmt;

/// The bound that a ratio has to keep.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gate {
    /// Higher is better.
    AtLeast(f64),
    /// Lower is better.
    AtMost(f64),
}

/// The result of one measurement.
pub(crate) struct Outcome {
    /// Its name.
    pub(crate) name: &'static str,
    /// Median of the rounds, ours over theirs.
    pub(crate) ratio: f64,
    /// What it has to be.
    pub(crate) gate: Gate,
    /// What it should be one day.
    pub(crate) goal: Gate,
    /// Absolute figures, for information.
    pub(crate) details: String,
}

impl Outcome {
    /// Whether the gate is kept.
    pub(crate) fn holds(&self) -> bool {
        match self.gate {
            Gate::AtLeast(bound) => self.ratio >= bound,
            Gate::AtMost(bound) => self.ratio <= bound,
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, ">={bound}"),
            Self::AtMost(bound) => write!(f, "<={bound}"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, ratio, gate, goal, details } = self;
        let missed = if self.holds() { "" } else { " MISSED" };
        write!(f, "bench {name} ratio={ratio:.3} gate={gate} goal={goal} {details}{missed}")
    }
}

/// The middle one of these figures; 0 of none.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// The figure below which this share of them lies; 0 of none.
pub(crate) fn percentile(figures: &[f64], share: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a short list"
    )]
    let place = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
    sorted.get(place).copied().unwrap_or_default()
}

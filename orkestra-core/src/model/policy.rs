//! Retry policies.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Whether a failed attempt is followed by another, and after what delay.
///
/// ```
/// use std::time::Duration;
/// use orkestra_core::prelude::*;
///
/// let retry = Retry::exponential(5).with_initial(Duration::from_millis(200));
/// assert_eq!(retry.delay(2, 0.0), Some(Duration::from_millis(400)));
/// assert_eq!(retry.delay(5, 0.0), None, "five attempts are all");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// The maximum number of attempts, including the first; at least 1.
    pub attempts_max: u32,
    /// The delay after the first failed attempt, in milliseconds.
    #[serde(default)]
    pub initial_ms: u64,
    /// What the delay is multiplied by after each further failure; at least 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub factor: f64,
    /// The longest delay, in milliseconds.
    #[serde(default = "hour_ms")]
    pub delay_ms_max: u64,
    /// The random share of the delay, 0 to 1: 0.2 shortens it by up to a fifth.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub jitter: f64,
}

impl Retry {
    /// A single attempt. The default.
    #[must_use]
    pub fn none() -> Self {
        Self::immediate(1)
    }

    /// Up to `attempts_max` attempts without delay.
    #[must_use]
    pub fn immediate(attempts_max: u32) -> Self {
        Self { attempts_max: attempts_max.max(1), initial_ms: 0, factor: 1.0, delay_ms_max: hour_ms(), jitter: 0.0 }
    }

    /// Up to `attempts_max` attempts. The delay is one second, doubles after each failure up to an hour, and is
    /// randomly shortened by up to a fifth.
    #[must_use]
    pub fn exponential(attempts_max: u32) -> Self {
        Self { initial_ms: 1000, factor: 2.0, jitter: 0.2, ..Self::immediate(attempts_max) }
    }

    /// Sets the first delay.
    #[must_use]
    pub fn with_initial(self, delay: Duration) -> Self {
        Self { initial_ms: millis(delay), ..self }
    }

    /// Sets the longest delay.
    #[must_use]
    pub fn with_max_delay(self, delay: Duration) -> Self {
        Self { delay_ms_max: millis(delay), ..self }
    }

    /// Sets the random share of the delay, 0 to 1.
    #[must_use]
    pub fn with_jitter(self, jitter: f64) -> Self {
        Self { jitter: jitter.clamp(0.0, 1.0), ..self }
    }

    /// The field that is out of range, and its valid range.
    pub(super) fn mistake(&self) -> Option<(&'static str, &'static str)> {
        let wrong = [
            ("retry.attempts_max", self.attempts_max == 0, "it must be at least 1"),
            ("retry.factor", !(self.factor.is_finite() && self.factor >= 1.0), "it must be at least 1"),
            ("retry.jitter", !(0.0..=1.0).contains(&self.jitter), "it must be from 0 to 1"),
        ];
        wrong.into_iter().find(|(_, wrong, _)| *wrong).map(|(field, _, what)| (field, what))
    }

    /// The delay after attempt number `attempt` failed; `None` when it was the last. `chance` is a random number from 0
    /// to 1.
    #[must_use]
    pub fn delay(&self, attempt: u32, chance: f64) -> Option<Duration> {
        if attempt >= self.attempts_max {
            return None;
        }
        if self.initial_ms == 0 {
            // Zero times an infinite factor would be NaN.
            return Some(Duration::ZERO);
        }
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let initial = Duration::from_millis(self.initial_ms).as_secs_f64();
        let longest = Duration::from_millis(self.delay_ms_max).as_secs_f64();
        let full = (initial * self.factor.max(1.0).powi(exponent)).min(longest);
        let shortened = full * (1.0 - self.jitter.clamp(0.0, 1.0) * chance.clamp(0.0, 1.0));
        Some(Duration::try_from_secs_f64(shortened).unwrap_or(Duration::from_millis(self.delay_ms_max)))
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self::none()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

const fn one() -> f64 {
    1.0
}

const fn hour_ms() -> u64 {
    3_600_000
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_one(value: &f64) -> bool {
    value.to_bits() == 1.0_f64.to_bits()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(value: &f64) -> bool {
    value.to_bits() == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest() {
        let retry = Retry::exponential(10).with_max_delay(Duration::from_secs(5));
        let delays: Vec<_> = (1..=5).map(|attempt| retry.delay(attempt, 0.0).map(|delay| delay.as_secs())).collect();
        assert_eq!(delays, [Some(1), Some(2), Some(4), Some(5), Some(5)]);
        assert_eq!(retry.delay(1, 1.0), Some(Duration::from_millis(800)));
        assert_eq!(retry.delay(10, 0.0), None);
        assert_eq!(Retry::exponential(u32::MAX).delay(u32::MAX - 1, 0.5).map(|delay| delay.as_secs()), Some(3240));
    }

    #[test]
    fn a_policy_without_delay_gives_zero() {
        assert_eq!(Retry::immediate(2).delay(1, 0.5), Some(Duration::ZERO));
        assert_eq!(Retry::none().delay(1, 0.5), None);
        let retry = Retry::exponential(u32::MAX).with_initial(Duration::ZERO);
        assert_eq!(retry.delay(5000, 0.5), Some(Duration::ZERO));
    }
}

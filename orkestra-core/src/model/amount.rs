//! Amounts that a meter counts: tokens, dollars, calls. Stored as whole millionths, so that sums are exact on every
//! machine.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;

use serde::{Deserialize, Serialize};

/// An amount of something, in millionths of its unit. Sums saturate.
///
/// ```
/// use orkestra_core::model::Amount;
///
/// let cost = Amount::micros(12_500) + Amount::whole(2);
/// assert_eq!(cost.to_string(), "2.0125");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Amount(u64);

impl Amount {
    /// Zero.
    pub const ZERO: Self = Self(0);

    /// `count` whole units.
    #[must_use]
    pub const fn whole(count: u64) -> Self {
        Self(count.saturating_mul(1_000_000))
    }

    /// `count` millionths of a unit.
    #[must_use]
    pub const fn micros(count: u64) -> Self {
        Self(count)
    }

    /// `units`, rounded up to the next millionth. Zero when `units` is negative or NaN.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float cast saturates")]
    pub fn from_units(units: f64) -> Self {
        Self((units * 1e6).ceil() as u64)
    }

    /// The amount in millionths.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The amount in units. Rounded when a float cannot hold it exactly.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "documented: the value is rounded")]
    pub fn as_units(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl Add for Amount {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Amount {
    /// In units, without trailing zeros.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, micros) = (self.0 / 1_000_000, self.0 % 1_000_000);
        if micros == 0 {
            return write!(f, "{whole}");
        }
        let fraction = format!("{micros:06}");
        write!(f, "{whole}.{}", fraction.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_round_up_and_never_below_zero() {
        assert_eq!(Amount::from_units(0.000_000_1), Amount::micros(1));
        assert_eq!(Amount::from_units(-1.0), Amount::ZERO);
        assert_eq!(Amount::from_units(f64::NAN), Amount::ZERO);
        assert_eq!(Amount::from_units(f64::INFINITY) + Amount::whole(1), Amount::micros(u64::MAX));
        assert_eq!([Amount::whole(1), Amount::micros(5)].into_iter().sum::<Amount>().to_string(), "1.000005");
    }
}

//! JSON numbers by value, to the last digit. Nothing here goes through a float, and no exponent is expanded:
//! `1e999999999` costs no more than its eleven characters.

use std::cmp::Ordering;

/// The largest exponent that is distinguished; larger ones are equal to it. It has 37 digits, far beyond any number in
/// use.
const EXPONENT_MAX: i128 = 10_i128.pow(36);

/// A number: `0.` followed by its digits, times ten to the power of its exponent. The digits have no zeros at either
/// end; zero has no digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    exponent: i128,
    digits: Vec<u8>,
}

impl Decimal {
    /// Parses JSON text. `None` when it is not a number.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let written = || whole.bytes().chain(fraction.bytes());
        if whole.is_empty() || !written().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let mut digits: Vec<u8> = written().skip_while(|digit| *digit == b'0').collect();
        let leading = whole.len() + fraction.len() - digits.len();
        let significant = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
        digits.truncate(significant);
        if digits.is_empty() {
            return Some(Self { negative: false, exponent: 0, digits });
        }
        let point = i128::try_from(whole.len()).ok()? - i128::try_from(leading).ok()?;
        Some(Self { negative, exponent: power(exponent)? + point, digits })
    }

    /// The number that this float is written as; `None` when it is infinite or NaN.
    pub(super) fn of(float: f64) -> Option<Self> {
        Self::parse(&format!("{float:e}"))
    }

    /// Whether it is zero.
    pub(super) const fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    fn sign(&self) -> i8 {
        match (self.is_zero(), self.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }

    /// Compares the magnitudes of two numbers that are not zero.
    fn size(&self, other: &Self) -> Ordering {
        // Digits have no trailing zeros, so a number whose digits are a prefix of the other's is the smaller one.
        self.exponent.cmp(&other.exponent).then_with(|| self.digits.cmp(&other.digits))
    }
}

/// Parses an exponent and clamps it to the distinguished range.
fn power(text: &str) -> Option<i128> {
    let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let digits = unsigned.strip_prefix('+').unwrap_or(unsigned);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    // Too large for an `i128`: clamped as well.
    let size = digits.parse().unwrap_or(EXPONENT_MAX).min(EXPONENT_MAX);
    Some(if negative { -size } else { size })
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        self.sign().cmp(&other.sign()).then_with(|| match self.sign() {
            0 => Ordering::Equal,
            1 => self.size(other),
            _ => other.size(self),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Decimal {
        Decimal::parse(text).expect(text)
    }

    #[test]
    fn numbers_are_compared_by_their_value() {
        use Ordering::{Equal, Greater, Less};
        for (one, order, other) in [
            ("1", Equal, "1.0"),
            ("1", Equal, "1e0"),
            ("10", Equal, "1E+1"),
            ("0.001", Equal, "1e-3"),
            ("0", Equal, "-0.0"),
            ("0e999999999", Equal, "0"),
            ("9007199254740993", Greater, "9007199254740992"),
            ("-9007199254740993", Less, "-9007199254740992"),
            ("18446744073709551617", Greater, "18446744073709551616"),
            ("-9223372036854775809", Less, "-9223372036854775808"),
            ("0.1", Less, "0.1000000000000000055511151231257827"),
            ("1e999999999", Greater, "1e999999998"),
            ("10e999999998", Equal, "1e999999999"),
            ("1e-999999999", Less, "1e-999999998"),
            ("1e99999999999999999999999999999999999999999999", Greater, "1e999"),
            ("1e-99999999999999999999999999999999999999999999", Greater, "-1"),
            ("1e-99999999999999999999999999999999999999999999", Less, "1e-999"),
            ("12", Greater, "1"),
            ("12", Less, "13"),
            ("120", Less, "1300"),
            ("-1", Less, "0"),
            ("0", Less, "0.000001"),
        ] {
            assert_eq!(number(one).cmp(&number(other)), order, "{one} and {other}");
            assert_eq!(number(other).cmp(&number(one)), order.reverse(), "{other} and {one}");
            assert_eq!(number(one) == number(other), order == Equal, "{one} and {other}");
        }
    }

    #[test]
    fn a_float_equals_the_number_it_is_written_as() {
        for (float, text) in [
            (0.1, "0.1"),
            (7.0, "7"),
            (1e300, "1e300"),
            (-2.5e-7, "-0.00000025"),
            (9_007_199_254_740_992.0, "9007199254740992"),
        ] {
            assert_eq!(Decimal::of(float), Some(number(text)), "{text}");
        }
        for none in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Decimal::of(none), None);
        }
    }

    #[test]
    fn other_text_is_not_a_number() {
        for text in ["", "-", "null", "\"1\"", "[1]", "1x", "1e", "1e+", "e1", ".5"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }
}

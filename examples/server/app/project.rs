//! Projects of organisations. The library has a single namespace of projects; here each organisation has its own, so that two
//! organisations with the same project id never see each other's files.

use super::error::ApiError;
use super::organisation::OrganisationId;
use super::secret::fingerprint;

/// The label with the project id as the organisation wrote it.
pub(crate) const PROJECT_LABEL: &str = "project";

const LENGTH_MAX: usize = 64;
/// How many hexadecimal digits distinguish projects: 96 bits, for which finding a collision is infeasible.
const DIGITS: usize = 24;

/// A project id as users write it: `[a-z0-9][a-z0-9._-]{0,63}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProjectId(String);

impl ProjectId {
    /// Parses `text` as a project id.
    pub(crate) fn parse(text: &str) -> Result<Self, ApiError> {
        let first = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit();
        let rest = |one: char| first(one) || "._-".contains(one);
        if text.len() <= LENGTH_MAX && text.starts_with(first) && text.chars().all(rest) {
            return Ok(Self(text.to_owned()));
        }
        Err(ApiError::invalid(
            "project_id: it must have 1 to 64 of a-z, 0-9, '.', '_' and '-', and start with a letter or a digit",
        ))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The project id for the library: unique across organisations, and readable in the data directory.
    pub(crate) fn within(&self, organisation: &OrganisationId) -> String {
        let digits = &fingerprint(&[organisation.as_str(), &self.0])[..DIGITS];
        let readable = &self.0[..self.0.len().min(LENGTH_MAX - DIGITS - 1)];
        format!("{readable}.{digits}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_belongs_to_its_organisation_and_stays_a_project_id() {
        let [one, other] = [0; 2].map(|_| OrganisationId::fresh().expect("chance"));
        let longest = "a".repeat(LENGTH_MAX);
        let [blog, long, longer] = ["blog", &longest[1..], &longest].map(|id| ProjectId::parse(id).expect("an id"));
        assert_eq!(blog.within(&one), blog.within(&one));
        assert_ne!(blog.within(&one), blog.within(&other));
        assert_ne!(long.within(&one), longer.within(&one), "they differ only in the part that is cut off");
        assert!(blog.within(&one).starts_with("blog."));
        assert!(ProjectId::parse(&longer.within(&one)).is_ok());
    }

    #[test]
    fn what_is_no_project_id() {
        for bad in ["", "../x", "A", ".hidden", "a b", "ä", &"a".repeat(LENGTH_MAX + 1)] {
            assert!(ProjectId::parse(bad).is_err(), "{bad:?}");
        }
    }
}

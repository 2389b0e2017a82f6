//! Checks a whole list: returns the valid entries and all complaints.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::InvalidInput;
use crate::plan::Entry;
use crate::target::{Kind, Target, Warning};

/// A problem with an entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Complaint<O> {
    /// The origin of the entry, such as a line or an argument.
    pub origin: O,
    /// The entry as given.
    pub given: String,
    /// The problem.
    pub problem: Problem,
}

/// An error or a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an entry is refused or it is taken")]
pub enum Problem {
    /// The entry is refused.
    Invalid(InvalidInput),
    /// The entry is accepted, but probably does not have the intended effect.
    Warning(Warning),
}

impl<O: fmt::Display> fmt::Display for Complaint<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            Problem::Invalid(invalid) => write!(f, "{}: {invalid}", self.origin),
            Problem::Warning(warning) => write!(f, "{}: {warning}", self.origin),
        }
    }
}

/// Parses one entry, and reports every warning about it.
///
/// # Errors
///
/// [`InvalidInput`] if the entry is refused.
pub fn read(kind: Kind, given: &str, warn: &mut dyn FnMut(Warning)) -> Result<Entry, InvalidInput> {
    let target = Target::parse(kind, given)?;
    target.warnings(warn);
    Ok(Entry::new(target, given))
}

/// Parses a whole list: returns the valid entries in order, and the problems of the entries.
///
/// ```
/// use cfcache_model::Kind;
/// use cfcache_model::diagnose::diagnose;
///
/// let list = ["www.example.com/foo", "https://www.example.com/bar"];
/// let (good, complaints) = diagnose(Kind::Prefixes, list.into_iter().enumerate());
///
/// assert_eq!(good.len(), 1);
/// assert_eq!(
///     complaints[0].to_string(),
///     "1: the prefix `https://www.example.com/bar` has a scheme: a prefix begins with the host",
/// );
/// ```
pub fn diagnose<'a, O: Clone>(
    kind: Kind,
    list: impl IntoIterator<Item = (O, &'a str)>,
) -> (Vec<Entry>, Vec<Complaint<O>>) {
    let mut good = Vec::new();
    let mut complaints = Vec::new();
    for (origin, given) in list {
        let mut complain = |problem| {
            complaints.push(Complaint { origin: origin.clone(), given: String::from(given), problem });
        };
        match read(kind, given, &mut |warning| complain(Problem::Warning(warning))) {
            Ok(entry) => good.push(entry),
            Err(invalid) => complain(Problem::Invalid(invalid)),
        }
    }
    (good, complaints)
}

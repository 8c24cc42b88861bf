//! `aios benchmark compare`: tells two results apart, or says that chance may do so.

use orkestra_bench::result::Comparison;

use super::{print, results};
use crate::args::CompareArguments;
use crate::exit::{Exit, Failure};

pub(super) fn perform(arguments: &CompareArguments) -> Result<Exit, Failure> {
    let (first, second) = (results::read(&arguments.first)?, results::read(&arguments.second)?);
    let comparison = Comparison::of(&first, &second);
    if arguments.json {
        let text = serde_json::to_string(&comparison).map_err(|error| Failure::failed(error.to_string()))?;
        return print(&format!("{text}\n"));
    }
    print(&comparison.to_string())
}

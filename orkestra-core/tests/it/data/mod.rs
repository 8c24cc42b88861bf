//! Workflows as data: what is accepted, what is refused and with which words, and the schema.

mod errors;
mod generate;
mod hostile;
mod page;
mod schema;
#[cfg(feature = "yaml")]
mod yaml;

use proptest::prelude::ProptestConfig;

/// A modest number of cases, unless the environment sets another.
fn cases(modest: u32) -> ProptestConfig {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if asked { config } else { ProptestConfig { cases: modest, ..config } }
}

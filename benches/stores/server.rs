//! The database for the Postgres measurements, the same as for the tests. What a store does not report is queried with `psql`.

use std::path::Path;
use std::process::Command;

use orkestra::store::PostgresStore;

use crate::BenchResult;

/// Its URL, if it is set.
pub(crate) fn url() -> Option<String> {
    std::env::var("ORKESTRA_TEST_POSTGRES").ok()
}

/// Opens a store in a schema that is named after the directory.
pub(crate) async fn open(place: &Path) -> BenchResult<PostgresStore> {
    let url = url().ok_or("ORKESTRA_TEST_POSTGRES is not set")?;
    Ok(PostgresStore::options().with_schema(schema(place)).connect(&url).await?)
}

/// The size of its tables and indexes, bytes.
pub(crate) fn on_disk(place: &Path) -> BenchResult<u64> {
    let tables = format!("pg_class where relkind = 'r' and relnamespace = '{}'::regnamespace", schema(place));
    Ok(ask(&format!("select sum(pg_total_relation_size(oid)) from {tables}"))?.trim().parse()?)
}

pub(crate) fn remove(place: &Path) -> BenchResult {
    ask(&format!("drop schema if exists {} cascade", schema(place))).map(drop)
}

fn schema(place: &Path) -> String {
    // The last name is that of the store, the one before it that of this measurement.
    let mut names: Vec<_> = place.iter().rev().take(2).map(|name| name.to_string_lossy().to_lowercase()).collect();
    names.reverse();
    names.join("_").replace(|c: char| !c.is_ascii_alphanumeric(), "_")
}

fn ask(sql: &str) -> BenchResult<String> {
    let url = url().ok_or("ORKESTRA_TEST_POSTGRES is not set")?;
    let output = Command::new("psql")
        .args([&url, "-qtAc", sql])
        .output()
        .map_err(|error| format!("cannot run psql: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

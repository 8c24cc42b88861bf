//! The database that Postgres is measured on: the one that the tests use. `psql` asks it what no store tells.

use std::path::Path;
use std::process::Command;

use orkestra::store::PostgresStore;

use crate::BenchResult;

/// Where it is, if there is one.
pub(crate) fn url() -> Option<String> {
    std::env::var("ORKESTRA_TEST_POSTGRES").ok()
}

/// Opens a store in a schema that is called as the directory is.
pub(crate) async fn open(place: &Path) -> BenchResult<PostgresStore> {
    let url = url().ok_or("there is no database")?;
    Ok(PostgresStore::options().with_schema(schema(place)).connect(&url).await?)
}

/// What its tables and their indexes take up.
pub(crate) fn on_disk(place: &Path) -> BenchResult<u64> {
    let tables = format!("pg_class where relkind = 'r' and relnamespace = '{}'::regnamespace", schema(place));
    Ok(ask(&format!("select sum(pg_total_relation_size(oid)) from {tables}"))?.trim().parse()?)
}

pub(crate) fn remove(place: &Path) -> BenchResult {
    ask(&format!("drop schema if exists {} cascade", schema(place))).map(drop)
}

fn schema(place: &Path) -> String {
    // The last of them is the store's own, the one before it that of this measurement.
    let mut names: Vec<_> = place.iter().rev().take(2).map(|name| name.to_string_lossy().to_lowercase()).collect();
    names.reverse();
    names.join("_").replace(|c: char| !c.is_ascii_alphanumeric(), "_")
}

fn ask(sql: &str) -> BenchResult<String> {
    let url = url().ok_or("there is no database")?;
    let output = Command::new("psql").args([&url, "-qtAc", sql]).output().map_err(|error| format!("psql: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

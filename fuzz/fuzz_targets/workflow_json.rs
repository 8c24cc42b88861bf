//! Fuzzes workflows in JSON, see `orkestra_testkit::fuzz::workflow_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| orkestra_testkit::fuzz::workflow_json(data));

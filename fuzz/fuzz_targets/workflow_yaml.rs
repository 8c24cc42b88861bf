//! Fuzzes workflows in YAML, see `orkestra_testkit::fuzz::workflow_yaml`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| orkestra_testkit::fuzz::workflow_yaml(data));

//! Fuzzes the decoding and replay of journals, see `orkestra_testkit::fuzz::journal`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| orkestra_testkit::fuzz::journal(data));

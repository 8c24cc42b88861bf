//! Fuzzes sequences of inputs to the kernel, see `orkestra_testkit::fuzz::decisions`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| orkestra_testkit::fuzz::decisions(data));

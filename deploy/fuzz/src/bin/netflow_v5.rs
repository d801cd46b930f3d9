#![no_main]
//! See the library.

libfuzzer_sys::fuzz_target!(|input: &[u8]| holm_flow_fuzz::feed(&[0, 5], input));

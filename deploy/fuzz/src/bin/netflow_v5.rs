#![no_main]
//! See the library.

libfuzzer_sys::fuzz_target!(|input: &[u8]| holm_fuzz::flows(&[0, 5], input));

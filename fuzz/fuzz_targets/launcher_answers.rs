#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::launcher_answers::check(data);
});

//! Whatever bytes come as an answer, they are an envelope or they are not.
#![no_main]

use cfcache_model::envelope::Envelope;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    if let Ok(envelope) = Envelope::parse(body) {
        assert!(body.trim_ascii_start().starts_with(b"{"));
        let mut infos = envelope.errors().into_iter().chain(envelope.messages());
        assert!(infos.all(|info| !info.to_string().is_empty()));
    }
});

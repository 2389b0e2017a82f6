//! Whatever comes as the body of a request is refused, or written again as what it was read as.
#![no_main]

use cfcache_model::PurgeBody;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &[u8]| {
    if let Ok(body) = serde_json::from_slice::<PurgeBody>(json) {
        assert_eq!(serde_json::from_str::<PurgeBody>(&body.to_json()).unwrap(), body);
    }
});

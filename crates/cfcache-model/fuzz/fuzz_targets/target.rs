//! Whatever is given as a target, a header or an id is refused in words fit for a terminal, or kept as it is.
#![no_main]

use cfcache_model::target::{CacheKeyHeader, Kind, Target};
use cfcache_model::{PurgeBody, ZoneId, text::is_invisible};
use libfuzzer_sys::fuzz_target;

fn assert_fit(text: &str) {
    assert!(!text.chars().any(is_invisible), "{text:?}");
}

fuzz_target!(|text: &str| {
    for kind in Kind::ALL {
        match Target::parse(*kind, text) {
            Ok(target) => {
                assert_eq!(Target::parse(*kind, &target.text()).as_ref(), Ok(&target));
                target.warnings(&mut |warning| assert_fit(&warning.to_string()));
                let body = PurgeBody::from_targets([target]).unwrap();
                assert_eq!(serde_json::from_str::<PurgeBody>(&body.to_json()).unwrap(), body);
            }
            Err(invalid) => {
                assert_fit(&invalid.to_string());
                invalid.cure().iter().for_each(|cure| assert_fit(cure));
            }
        }
    }
    if let Err(invalid) = CacheKeyHeader::parse(text) {
        assert_fit(&invalid.to_string());
        invalid.cure().iter().for_each(|cure| assert_fit(cure));
    }
    if let Err(invalid) = ZoneId::parse(text) {
        assert_fit(&invalid.to_string());
    }
});

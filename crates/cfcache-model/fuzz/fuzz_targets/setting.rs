//! Whatever is given as the value of a setting is refused in words fit for a terminal, or written as it is read again.
#![no_main]

use cfcache_model::endpoint::{CloudRegion, Variants, parse_origin_ip};
use cfcache_model::{id::EnvironmentId, text::is_invisible};
use libfuzzer_sys::fuzz_target;

fn assert_fit(text: &str) {
    assert!(!text.chars().any(is_invisible), "{text:?}");
}

fuzz_target!(|text: &str| {
    match Variants::from_json(text) {
        Ok(variants) => {
            let json = serde_json::to_string(&variants).unwrap();
            assert_eq!(Variants::from_json(&json).as_ref(), Ok(&variants));
        }
        Err(invalid) => assert_fit(&invalid.to_string()),
    }
    match CloudRegion::parse(text) {
        Ok(region) => {
            let again = CloudRegion::new(&region.origin_ip().to_string(), region.vendor(), region.region());
            assert_eq!(again.as_ref(), Ok(&region));
        }
        Err(invalid) => assert_fit(&invalid.to_string()),
    }
    if let Err(invalid) = parse_origin_ip(text) {
        assert_fit(&invalid.to_string());
    }
    if let Err(invalid) = EnvironmentId::parse(text) {
        assert_fit(&invalid.to_string());
    }
});

//! Whatever is given as a base URL is refused in words fit for a terminal, or requests can be written for it.
#![no_main]

use cfcache_client::{BaseUrl, Codec};
use cfcache_model::endpoint::{PurgeCache, encode};
use cfcache_model::text::is_invisible;
use cfcache_model::{PurgeBody, ZoneId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match text.parse::<BaseUrl>() {
        Ok(base) => {
            assert_eq!(base.to_string().parse::<BaseUrl>().as_ref(), Ok(&base));
            assert!(base.origin().authority().parse::<http::uri::Authority>().is_ok());
            let zone = ZoneId::parse("023e105f4ecef8ad9ca31a8372d0c353").unwrap();
            let parts = encode(&PurgeCache::purge(&zone, &PurgeBody::Everything));
            let codec = Codec::new(base, None, "fuzz");
            let written = codec.request(&parts, None).unwrap();
            assert_eq!(written.uri().path(), codec.path(&parts));
        }
        Err(invalid) => assert!(!invalid.to_string().chars().any(is_invisible)),
    }
});

//! Whatever bytes come with whatever status, they are judged; and success only where they say so.
#![no_main]

use cfcache_model::endpoint::PurgeCache;
use cfcache_model::text::is_invisible;
use cfcache_model::verdict::parse_response;
use cfcache_model::{PurgeBody, ZoneId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|answer: (u16, &[u8])| {
    let (status, body) = answer;
    let zone = ZoneId::parse("023e105f4ecef8ad9ca31a8372d0c353").unwrap();
    match parse_response(&PurgeCache::purge(&zone, &PurgeBody::Everything), status, body) {
        Ok(_) => {
            assert!((200..300).contains(&status));
            assert!(body.windows(9).any(|part| part == b"\"success\"") || body.contains(&b'\\'));
        }
        Err(failure) => {
            assert!(!failure.to_string().chars().any(is_invisible));
        }
    }
});

//! The API as a test double, without a socket and without waiting: an hour of limits is simulated immediately.
//!
//! `cargo run -p cfcache-emulator --example double`

use core::time::Duration;
use std::error::Error;

use bytes::Bytes;
use cfcache_emulator::{Config, Emulator};
use cfcache_model::Plan;
use http::{Request, StatusCode};

const ZONE: &str = "023e105f4ecef8ad9ca31a8372d0c353";

fn main() -> Result<(), Box<dyn Error>> {
    let emulator = Emulator::new(Config::new(Plan::Free));
    let purge = |now| {
        let request = Request::post(format!("/client/v4/zones/{ZONE}/purge_cache"))
            .header("authorization", "Bearer any-token-of-a-valid-form-will-do-here-00")
            .header("content-type", "application/json")
            .body(Bytes::from(r#"{"tags":["release-42"]}"#))?;
        Ok::<_, http::Error>(emulator.handle(now, &request))
    };

    // A free zone may purge by tag five times per minute, and 25 times in a burst.
    let mut now = Duration::ZERO;
    while purge(now)?.status() == StatusCode::OK {}
    let accepted = emulator.purges().len();
    let refused = purge(now)?;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);

    // The demanded waiting time is exact.
    let wait = refused.headers()["retry-after"].to_str()?.parse()?;
    now += Duration::from_secs(wait);
    assert_eq!(purge(now)?.status(), StatusCode::OK);

    let counts = emulator.log().counts();
    #[expect(clippy::print_stdout, reason = "an example shows what it does")]
    {
        println!("{accepted} at once, then one after {wait} s; {counts:?}");
    }
    Ok(())
}

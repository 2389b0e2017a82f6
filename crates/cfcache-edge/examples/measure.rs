//! Measures what 100,000 objects take in memory, how long purges of many and of few of them take, and how many hits a
//! second one thread answers: `cargo run --release -p cfcache-edge --example measure`.
//!
//! Memory is read from `/proc`, so it runs on Linux.

#![expect(clippy::print_stdout, reason = "an example")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use cfcache_edge::{CacheSettings, Edge, Purge, PurgeFile, PurgeItems, RequestStep, VisitorInfo};
use http::{Request, Response};

const OBJECTS: u64 = 100_000;
const BODY: usize = 1000;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let mut settings = CacheSettings::new("example.com");
    settings.max_memory = u64::MAX;
    let mut edge = Edge::new(settings);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);

    let before = resident()?;
    fill(&mut edge, now)?;
    let taken = resident()? - before;
    // The bytes of an object: body, head and URL.
    let own = (BODY + HEAD + URL) as u64;
    println!("{OBJECTS} objects with {own} bytes each: {} bytes each in memory", taken / OBJECTS);
    println!("beside its own bytes, an object takes {} bytes", (taken / OBJECTS).saturating_sub(own));
    println!("counted: {} bytes each", edge.memory() / OBJECTS);

    let request = Request::get(url(77)).body(())?;
    let begin = Instant::now();
    for _ in 0..OBJECTS {
        let RequestStep::Answer { .. } = edge.request(now, &request, &VisitorInfo::default()) else {
            return Err("a hit was expected".into());
        };
    }
    println!("{:.0} hits a second", OBJECTS as f64 / begin.elapsed().as_secs_f64());

    let item_lists = [
        ("one file", PurgeItems::Files(vec![PurgeFile::new(url(5))])),
        ("a tag of 1,000", PurgeItems::Tags(vec!["section-7".to_owned()])),
        ("a prefix of 1,000", PurgeItems::Prefixes(vec!["www.example.com/section-9".to_owned()])),
        ("a tag of all", PurgeItems::Tags(vec!["all".to_owned()])),
        ("a prefix of all", PurgeItems::Prefixes(vec!["www.example.com/".to_owned()])),
        ("a host", PurgeItems::Hosts(vec!["www.example.com".to_owned()])),
        ("everything", PurgeItems::Everything),
    ];
    let tiered = [("a host, with Tiered Cache", PurgeItems::Hosts(vec!["www.example.com".to_owned()]))];
    for (name, items) in item_lists.into_iter().chain(tiered) {
        edge.settings_mut().tiered_cache = name.contains("Tiered");
        fill(&mut edge, now)?;
        let begin = Instant::now();
        let purged = edge.purge(now, &Purge::new(items));
        let answered = begin.elapsed();
        let objects = purged.objects;
        drop(purged);
        let freed = begin.elapsed() - answered;
        println!("purge of {name}: {objects} objects in {answered:.1?}, their memory freed in {freed:.1?}");
    }
    Ok(())
}

const HEAD: usize = 250;
const URL: usize = 60;

fn url(index: u64) -> String {
    format!("https://www.example.com/section-{}/article-{index:08}/index.css", index % 100)
}

/// Stores each object that is not there.
fn fill(edge: &mut Edge, now: SystemTime) -> Result<()> {
    for index in 0..OBJECTS {
        let request = Request::get(url(index)).body(())?;
        let RequestStep::Fetch(fetch) = edge.request(now, &request, &VisitorInfo::default()) else {
            continue;
        };
        let response = Response::builder()
            .header("content-type", "text/css; charset=utf-8")
            .header("etag", format!("\"{index:032x}\""))
            .header("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT")
            .header("cache-control", "public, max-age=86400")
            .header("cache-tag", format!("all,section-{},article-{index}", index % 100))
            .body(Bytes::from(vec![b'x'; BODY]))?;
        drop(edge.fetched(now, fetch.ticket, Ok(response)));
    }
    Ok(())
}

/// The memory that the process has, in bytes.
fn resident() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = text.split_whitespace().nth(1).ok_or("no resident pages")?.parse()?;
    Ok(pages * 4096)
}

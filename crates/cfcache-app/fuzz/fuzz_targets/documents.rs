//! Whatever bytes a JSON array or a sitemap is made of, reading it ends, and what it says is fit for a terminal.
#![no_main]

use std::io::BufReader;

use cfcache_app::source::array::Array;
use cfcache_app::source::lines::Line;
use cfcache_app::source::sitemap::Sitemap;
use cfcache_model::text::is_invisible;
use libfuzzer_sys::fuzz_target;

/// Looks at what was read, and says whether it was the last.
fn is_last(line: &Line) -> bool {
    match line {
        Line::Entry(_) | Line::Nothing => false,
        Line::Invalid { reason, .. } => {
            assert!(!reason.chars().any(is_invisible), "{reason:?}");
            false
        }
        Line::Failed(error) => {
            assert!(!error.to_string().chars().any(is_invisible), "{error:?}");
            true
        }
        Line::End => true,
    }
}

fn check(bytes: &[u8]) {
    for takes_objects in [true, false] {
        let mut array = Array::new(BufReader::with_capacity(7, bytes), takes_objects);
        // An element takes a byte at least.
        assert!((0..=bytes.len() + 1).any(|_| is_last(&array.next_line())));
    }
    let Ok(mut sitemap) = Sitemap::new("sitemap.xml", None, bytes) else { return };
    while !is_last(&sitemap.next_line()) {}
}

fuzz_target!(|bytes: &[u8]| check(bytes));

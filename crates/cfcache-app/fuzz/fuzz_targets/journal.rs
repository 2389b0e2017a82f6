//! Whatever bytes a journal holds, it can be cut to what is good of it, and written on.
#![no_main]

use cfcache_app::journal::lines::{self, Contents, JournalLine, Point};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|journal: &[u8]| {
    let Ok(Contents { header, accepted, points, end, .. }) = lines::read(journal, "journal") else { return };
    let good = &journal[..usize::try_from(end).unwrap()];
    assert!(good.is_empty() || good.ends_with(b"\n"));
    assert_eq!(good.is_empty(), header.is_none());
    assert!(accepted.ranges().iter().all(|range| points.iter().any(|point| range.end <= point.read)));

    let again = lines::read(good, "journal").unwrap();
    assert_eq!((&again.header, &again.accepted, &again.points), (&header, &accepted, &points));
    assert_eq!(again.end, end);

    let Some(header) = header else { return };
    let mut written = good.to_vec();
    let point = Point { read: u64::MAX, digest: end };
    let line = JournalLine { accepted: Some((3, 5)), verified: Some((3, 4)), point };
    serde_json::to_writer(&mut written, &line).unwrap();
    written.push(b'\n');
    let more = lines::read(&*written, "journal").unwrap();
    assert_eq!(more.end, written.len() as u64);
    assert!(more.accepted.contains(3) && more.accepted.contains(4) && more.verified.contains(3));
    assert_eq!(more.points.last(), Some(&line.point));

    let mut first = serde_json::to_vec(&header).unwrap();
    first.push(b'\n');
    assert_eq!(lines::read(&*first, "journal").unwrap().header, Some(header));
});

//! How many URLs a second one core reads, plans and writes: `cargo bench -p cfcache-model --bench plan`.
//!
//! An iteration is one batch of 100 distinct URLs: each is parsed from text and looked at for warnings, the planner
//! looks for it among the last million and puts it into a batch, and the batch is written as the body of a request.
//! The elements a second that criterion prints are URLs a second. The slowest has to reach 3 million.

#![expect(clippy::unwrap_used, reason = "a benchmark is a test")]

use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

use cfcache_model::plan::{BatchLimits, DUPLICATE_WINDOW, Entry, Planner};
use cfcache_model::{Kind, Plan, PurgeBody};
use criterion::{Bencher, Criterion, Throughput};

/// More than the planner remembers, so that going round and round never meets a duplicate.
const URLS: usize = DUPLICATE_WINDOW + DUPLICATE_WINDOW / 2;

const BATCH: usize = 100;

/// At least so many URLs a second.
const TARGET: f64 = 3e6;

/// All URLs in one text, as a file would hold them, and where each begins and ends.
struct Input {
    text: String,
    lines: Vec<(u32, u32)>,
    next: usize,
}

impl Input {
    fn new(query: &str) -> Self {
        let mut text = String::new();
        let mut lines = Vec::with_capacity(URLS);
        for number in 0..URLS {
            let begin = text.len() as u32;
            let name = number.wrapping_mul(0x9E37_79B1) & 0xFFFF_FFFF;
            write!(text, "https://www.example.com/assets/{:03}/{name:08x}.jpg{query}", number % 997).unwrap();
            lines.push((begin, text.len() as u32));
        }
        Self { text, lines, next: 0 }
    }

    fn next(&mut self) -> &str {
        let (begin, end) = self.lines[self.next];
        self.next = (self.next + 1) % self.lines.len();
        &self.text[begin as usize..end as usize]
    }
}

/// Reads as many URLs as fill a batch, and writes it.
fn one_batch(planner: &mut Planner, input: &mut Input, warnings: &mut u64) -> String {
    let mut entries = Vec::with_capacity(BATCH);
    while entries.len() < BATCH {
        entries.push(Entry::parse(Kind::Files, input.next(), &mut |_| *warnings += 1).unwrap());
    }
    let batch = planner.push_all(entries).unwrap().batches.pop().unwrap();
    PurgeBody::Batch(batch).to_json()
}

fn planner() -> Planner {
    let planner = Planner::new(Kind::Files, BatchLimits::from_plan(Plan::Free.purge_limits(), Kind::Files));
    assert_eq!(planner.limits().items, BATCH);
    planner
}

/// How long how many batches took.
#[derive(Default)]
struct Total {
    batches: u64,
    time: Duration,
}

impl Total {
    /// Measures for criterion, and adds it up.
    fn measure(&mut self, bencher: &mut Bencher<'_>, mut batch: impl FnMut() -> String) {
        bencher.iter_custom(|batches| {
            let start = Instant::now();
            for _ in 0..batches {
                black_box(batch());
            }
            let time = start.elapsed();
            self.batches += batches;
            self.time += time;
            time
        });
    }

    /// Fails if the target was missed.
    fn check(&self, name: &str) {
        let rate = (self.batches * BATCH as u64) as f64 / self.time.as_secs_f64();
        // A run that only tests whether the benchmark works has few.
        assert!(
            rate >= TARGET || self.batches < 1000,
            "{name}: MISSED: {rate:.0} URLs a second, wanted {TARGET}"
        );
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("parse+plan+encode");
    group.throughput(Throughput::Elements(BATCH as u64));

    let mut warnings = 0;
    let mut input = Input::new("");
    // The memory for duplicates is full, as it is for most of a long run: what comes in pushes something out.
    let mut full = planner();
    for _ in 0..=DUPLICATE_WINDOW / BATCH {
        black_box(one_batch(&mut full, &mut input, &mut warnings));
    }
    let [mut long_run, mut short_run, mut long_urls] = [Total::default(), Total::default(), Total::default()];
    group.bench_function("long run", |bencher| {
        long_run.measure(bencher, || one_batch(&mut full, &mut input, &mut warnings));
    });
    assert_eq!((full.duplicates(), warnings), (0, 0));

    group.bench_function("short run", |bencher| {
        let mut batches = 0;
        let mut fresh = planner();
        short_run.measure(bencher, || {
            batches += 1;
            if batches % 100 == 0 {
                fresh = planner();
            }
            one_batch(&mut fresh, &mut input, &mut warnings)
        });
    });

    let mut input = Input::new("?utm_source=a&utm_medium=b&v=0123456789abcdef0123456789abcdef");
    group.bench_function("long URLs", |bencher| {
        long_urls.measure(bencher, || one_batch(&mut full, &mut input, &mut warnings));
    });
    group.finish();
    criterion.final_summary();
    for (name, total) in [("long run", long_run), ("short run", short_run), ("long URLs", long_urls)] {
        total.check(name);
    }
}

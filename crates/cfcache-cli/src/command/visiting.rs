//! What `probe` and `warm` share: URLs that stream in, and how far the whole is.

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::cell::{Cell, RefCell};

use cfcache_model::plan::Entry;
use cfcache_model::target::Target;
use cfcache_probe::Target as Visited;
use futures_core::Stream;
use http::{HeaderName, HeaderValue};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::progress::REDRAW;
use crate::render::{Talk, human};
use crate::source::{Chunk, Sources};

/// How many chunks of the input are read ahead.
const READ_AHEAD: usize = 2;

/// How often a line is written where there is no terminal.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The first moments say nothing about the time that is left.
const GUESS_AFTER: Duration = Duration::from_secs(3);

/// What is over within a moment needs no progress.
const SOON: Duration = Duration::from_millis(400);

/// The URLs of an input while it is read, by a thread of its own: files and pipes block.
pub(super) struct Urls<'a> {
    chunks: mpsc::Receiver<Chunk>,
    talk: &'a Talk,
    /// How the process ends for what was found on the way, and how many URLs there were.
    exit: &'a Cell<Exit>,
    read: &'a Cell<u64>,
}

impl<'a> Urls<'a> {
    pub(super) fn read(sources: Sources, talk: &'a Talk, exit: &'a Cell<Exit>, read: &'a Cell<u64>) -> Self {
        let (sender, chunks) = mpsc::channel(READ_AHEAD);
        std::thread::spawn(move || sources.read(&mut |chunk| sender.blocking_send(chunk).is_ok()));
        Self { chunks, talk, exit, read }
    }
}

impl Stream for Urls<'_> {
    type Item = Vec<Visited>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Vec<Visited>>> {
        self.chunks.poll_recv(context).map(|chunk| {
            chunk.map(|chunk| {
                self.exit.set(self.exit.get().or(chunk.tell(self.talk)));
                let urls: Vec<_> = chunk.entries.iter().filter_map(visited).collect();
                self.read.set(self.read.get() + urls.len() as u64);
                urls
            })
        })
    }
}

/// A URL with what its cache key was made from, as a visitor asks for it.
pub(super) fn visited(entry: &Entry) -> Option<Visited> {
    let Target::Files(file) = &entry.target else { return None };
    let url = file.url().as_str();
    let mut headers = Vec::new();
    for header in file.headers() {
        // The edge makes these two by itself, from the visitor's browser and from where it is.
        if header.is("CF-Device-Type") {
            let variant = match header.value() {
                "mobile" => cfcache_probe::Variant::Mobile,
                "tablet" => cfcache_probe::Variant::Tablet,
                _ => cfcache_probe::Variant::Desktop,
            };
            if let Some((name, value)) = variant.headers(url)
                && let Ok(value) = HeaderValue::try_from(value)
            {
                headers.push((HeaderName::from_static(name), value));
            }
        } else if !header.is("CF-IPCountry")
            && let (Ok(name), Ok(value)) =
                (HeaderName::try_from(header.name()), HeaderValue::try_from(header.value()))
        {
            headers.push((name, value));
        }
    }
    Some(Visited::new(url).with_headers(headers))
}

/// How far the whole is.
pub(super) struct Meter {
    /// "URL", "request".
    noun: &'static str,
    /// "asked", "fetched".
    verb: &'static str,
    total: Option<u64>,
    done: u64,
    failed: u64,
    started: Instant,
    last_beat: Instant,
}

impl Meter {
    pub(super) fn new(noun: &'static str, verb: &'static str, total: Option<u64>) -> Self {
        let now = Instant::now();
        Self { noun, verb, total, done: 0, failed: 0, started: now, last_beat: now }
    }

    pub(super) fn count(&mut self, is_fine: bool) {
        self.done += 1;
        self.failed += u64::from(!is_fine);
    }

    pub(super) const fn total(&self) -> Option<u64> {
        self.total
    }

    pub(super) const fn done(&self) -> u64 {
        self.done
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn tick(&mut self, talk: &Talk) {
        if !talk.progress {
            return;
        }
        let now = Instant::now();
        if talk.live {
            if now - self.started > SOON {
                talk.draw(&self.line(now));
            }
        } else if now - self.last_beat >= HEARTBEAT {
            self.last_beat = now;
            talk.note(&self.line(now));
        }
    }

    fn line(&self, now: Instant) -> String {
        let elapsed = now - self.started;
        let rate = self.done as f64 / elapsed.as_secs_f64().max(0.1);
        let mut line = match self.total {
            Some(total) => format!("{} of {} {}", self.done, human::count(total, self.noun), self.verb),
            None => format!("{} {}", human::count(self.done, self.noun), self.verb),
        };
        if self.failed > 0 {
            line.push_str(&format!(", {} failed", self.failed));
        }
        line.push_str(&format!(", {}/s", human::rate(rate)));
        if let Some(total) = self.total
            && elapsed >= GUESS_AFTER
            && rate > 0.0
            && let Ok(left) = Duration::try_from_secs_f64(total.saturating_sub(self.done) as f64 / rate)
        {
            line.push_str(&format!(", {} left", human::whole(left)));
        }
        line.push_str(&format!(" ({})", human::whole(elapsed)));
        line
    }
}

/// Draws the progress for as long as it is polled.
pub(super) async fn draw(meter: &RefCell<Meter>, talk: &Talk) {
    let mut interval = tokio::time::interval(REDRAW);
    loop {
        interval.tick().await;
        meter.borrow_mut().tick(talk);
    }
}

/// What is said where an input turned out to hold no URL.
pub(super) fn nothing() -> Failure {
    Failure::usage("there is no valid URL in the input; nothing was asked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_from_the_rate() {
        let mut meter = Meter::new("URL", "asked", Some(1000));
        meter.done = 40;
        meter.failed = 1;
        let line = meter.line(meter.started + Duration::from_secs(4));
        assert_eq!(line, "40 of 1000 URLs asked, 1 failed, 10/s, 96 s left (4 s)");
        meter.total = None;
        let line = meter.line(meter.started + Duration::from_secs(4));
        assert_eq!(line, "40 URLs asked, 1 failed, 10/s (4 s)");
    }
}

//! The progress of a run.

use core::time::Duration;
use std::collections::VecDeque;

use cfcache_client::engine::Reason;
use cfcache_client::{ErrorCause, Event, Summary};
use cfcache_model::target::Kind;
use cfcache_model::verdict::Class;
use tokio::time::Instant;

use crate::failure::why;
use crate::render::Terminal;
use crate::render::human;
use crate::session::whole_seconds;

/// How often a progress line is written if there is no terminal.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The rate is computed over this time, which is long enough for a plan that allows one request in 12 seconds.
const RATE_WINDOW: Duration = Duration::from_secs(60);

/// No remaining time is estimated before this: a burst and opening connections distort the rate.
const GUESS_AFTER: Duration = Duration::from_secs(3);

/// Waits shorter than this are not shown.
const BLIP: Duration = Duration::from_secs(2);

/// The minimum number of columns for a reason, even on a narrow terminal.
const SHORTEST: usize = 20;

/// Why a request has to be sent again.
pub(crate) struct Trouble {
    why: String,
    attempt: u32,
    tries: u32,
    wait: Duration,
    until: Instant,
    rate_limited: bool,
}

impl Trouble {
    /// Extracts the reason from an event.
    pub(crate) fn from_event(event: &Event<'_>) -> Option<Self> {
        let Event::Retrying { wait, attempt, tries, cause, .. } = event else { return None };
        let until = Instant::now() + *wait;
        let rate_limited =
            matches!(cause, ErrorCause::Answer(failure) if failure.class == Class::RateLimited);
        Some(Self { why: why(cause), attempt: *attempt, tries: *tries, wait: *wait, until, rate_limited })
    }

    /// Formats "`127.0.0.1:9` refused the connection, try 3 of 11, again in 12 s". The reason is truncated so that the
    /// line fits into `columns`.
    pub(crate) fn line(&self, now: Instant, columns: usize) -> String {
        let mut rest = String::new();
        // Refusals because of the rate use up no tries.
        if !self.rate_limited && self.attempt <= self.tries {
            rest.push_str(&format!(", try {} of {}", self.attempt, self.tries));
        }
        if self.until > now {
            rest.push_str(&format!(", again in {} s", whole_seconds(self.until - now)));
        }
        let room = columns.saturating_sub(rest.len()).max(SHORTEST);
        let why = if human::width(&self.why) > room {
            self.why.strip_prefix("the API answered with ").unwrap_or(&self.why)
        } else {
            &self.why
        };
        format!("{}{rest}", human::ellipsis(why, room))
    }

    /// Writes it once if there is no progress line. With `-v`, each request is shown anyway.
    pub(crate) fn note(&self, terminal: &Terminal) {
        if terminal.verbose == 0 && (self.attempt > 1 || self.wait > BLIP) {
            terminal.note_trouble(&self.why, &self.line(Instant::now(), usize::MAX));
        }
    }
}

/// The state of a run while it runs.
pub(crate) struct Progress {
    noun: Kind,
    /// The number of entries, if it is known.
    total: Option<u64>,
    started: Instant,
    last_beat: Instant,
    summary: Summary,
    /// Entries that failed before they reached the run.
    unsent: u64,
    in_flight: usize,
    /// Nothing more is sent: the run waits for requests in flight.
    is_stopped: bool,
    /// The end of a wait that the server demanded for all requests.
    held_until: Option<Instant>,
    /// Whether the reason is a quota in the server's headers, and not a refusal.
    is_quota: bool,
    /// The minimum time for a number of further entries.
    estimate: Box<dyn Fn(u64) -> Duration>,
    /// The last failure, until a request succeeds.
    trouble: Option<Trouble>,
    /// The number of sent entries at times one second apart, the oldest first.
    past: VecDeque<(Instant, u64)>,
    /// Whether the run has waited. Before that, the rate is that of a full bucket and says nothing about the rest.
    has_waited: bool,
}

impl Progress {
    pub(crate) fn new(kind: Kind, total: Option<u64>, estimate: Box<dyn Fn(u64) -> Duration>) -> Self {
        let now = Instant::now();
        Self {
            noun: kind,
            total,
            started: now,
            last_beat: now,
            summary: Summary::default(),
            unsent: 0,
            in_flight: 0,
            is_stopped: false,
            held_until: None,
            is_quota: false,
            estimate,
            trouble: None,
            past: VecDeque::from([(now, 0)]),
            has_waited: false,
        }
    }

    /// Counts entries that failed before they reached the run.
    pub(crate) const fn add_failed(&mut self, entries: u64) {
        self.unsent += entries;
    }

    /// Handles an event.
    pub(crate) fn on(&mut self, event: &Event<'_>) {
        let waits =
            matches!(event, Event::Waiting { reason: Reason::Held | Reason::Paced | Reason::Quota, .. });
        if waits && !core::mem::replace(&mut self.has_waited, true) {
            self.past = VecDeque::from([(Instant::now(), self.sent())]);
        }
        if let Some(trouble) = Trouble::from_event(event).filter(|trouble| !trouble.rate_limited) {
            self.trouble = Some(trouble);
        }
        match event {
            Event::Ended(_) => self.trouble = None,
            Event::Sent { in_flight } => self.in_flight = *in_flight,
            Event::Exchange(_) => self.in_flight = self.in_flight.saturating_sub(1),
            Event::Retrying { wait, holds_all: true, .. } => {
                let until = Instant::now() + *wait;
                self.held_until = Some(self.held_until.map_or(until, |known| known.max(until)));
            }
            Event::Stopped { .. } => self.is_stopped = true,
            Event::Waiting { wait, reason: reason @ (Reason::Held | Reason::Quota) } => {
                self.held_until = Some(Instant::now() + *wait);
                self.is_quota = *reason == Reason::Quota;
            }
            Event::Progress { summary, in_flight } => {
                self.summary = **summary;
                self.in_flight = *in_flight;
            }
            _ => {}
        }
    }

    /// Shows the progress: often on a terminal, rarely elsewhere.
    pub(crate) fn tick(&mut self, terminal: &Terminal) {
        if !terminal.progress {
            return;
        }
        let now = Instant::now();
        self.remember(now);
        if terminal.live {
            // A run that ends quickly needs no progress line.
            if now - self.started > Duration::from_millis(400) {
                terminal.draw(&self.line(now, terminal.columns()));
            }
        } else if now - self.last_beat >= HEARTBEAT {
            self.last_beat = now;
            terminal.note(&self.line(now, usize::MAX));
        }
    }

    fn sent(&self) -> u64 {
        self.summary.accepted + self.summary.failed
    }

    fn remember(&mut self, now: Instant) {
        if self.past.back().is_none_or(|(last, _)| now - *last >= Duration::from_secs(1)) {
            self.past.push_back((now, self.sent()));
        }
        while self.past.len() > 2 && self.past.front().is_some_and(|(first, _)| now - *first > RATE_WINDOW) {
            self.past.pop_front();
        }
    }

    /// Items per second over the last minute.
    fn rate(&self, now: Instant) -> f64 {
        let (since, sent) = self.past.front().copied().unwrap_or((self.started, 0));
        (self.sent().saturating_sub(sent)) as f64 / (now - since).as_secs_f64().max(0.1)
    }

    /// Formats the progress line. The most important part comes first, for narrow terminals.
    fn line(&self, now: Instant, columns: usize) -> String {
        let mut tally = self.summary;
        tally.failed += self.unsent;
        let mut line = match self.total {
            Some(total) => format!("{} of {} accepted", tally.accepted, self.noun.count(total)),
            None => format!("{} accepted", self.noun.count(tally.accepted)),
        };
        for (count, word) in [(tally.skipped, "skipped"), (tally.failed, "failed")] {
            if count > 0 {
                line.push_str(&format!(", {count} {word}"));
            }
        }
        let elapsed = human::whole(now - self.started);
        if self.is_stopped {
            line.push_str(&format!(
                ", waiting for {} ({elapsed})",
                human::count(self.in_flight as u64, "request")
            ));
            return line;
        }
        if let Some(trouble) = &self.trouble {
            // The last column stays free, so that the line does not wrap.
            let room = columns.saturating_sub(1);
            let whole = format!("{line}, {} ({elapsed})", trouble.line(now, usize::MAX));
            let fits = human::width(&whole) <= room;
            // The reason for a wait is more important than its duration and than empty counts.
            let is_nothing = tally.accepted + tally.failed + tally.skipped == 0;
            return match (fits, is_nothing) {
                (true, _) => whole,
                (false, true) => trouble.line(now, room),
                (false, false) => {
                    let begin = line + ", ";
                    let room = room.saturating_sub(begin.len());
                    begin + &trouble.line(now, room)
                }
            };
        }
        if let Some(until) = self.held_until.filter(|until| *until > now) {
            let why = if self.is_quota { "quota used up" } else { "rate limited" };
            line.push_str(&format!(", {why}, continues in {} s", whole_seconds(until - now)));
        }
        let rate = self.rate(now);
        line.push_str(&format!(", {}/s, {} in flight", human::rate(rate), self.in_flight));
        let handled = tally.accepted + tally.failed + tally.skipped + tally.duplicates;
        if let Some(total) = self.total
            && now - self.started >= GUESS_AFTER
        {
            let items = total.saturating_sub(handled);
            let least = (self.estimate)(items);
            let measured = Duration::try_from_secs_f64(items as f64 / rate).unwrap_or_default();
            let left = Duration::from_secs(whole_seconds(measured.max(least)));
            if !left.is_zero() {
                line.push_str(&format!(", {} left", human::whole(left)));
            }
        }
        line.push_str(&format!(" ({elapsed})"));
        line
    }
}

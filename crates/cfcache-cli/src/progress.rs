//! How far a run is, while it runs.

use core::time::Duration;

use tokio::time::Instant;

use crate::render::Talk;
use crate::render::human;

/// How often a line on a terminal is redrawn.
pub(crate) const REDRAW: Duration = Duration::from_millis(125);

/// How often a line is written where there is no terminal.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// What is known of a run while it runs.
pub(crate) struct Progress {
    noun: cfcache_model::Kind,
    started: Instant,
    last_beat: Instant,
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) in_flight: usize,
    /// Until when everything waits because the server said so.
    pub(crate) held_until: Option<Instant>,
}

impl Progress {
    pub(crate) fn new(noun: cfcache_model::Kind) -> Self {
        let now = Instant::now();
        Self { noun, started: now, last_beat: now, done: 0, failed: 0, in_flight: 0, held_until: None }
    }

    /// Time has passed: shows how far it is, on a terminal often and elsewhere seldom.
    pub(crate) fn tick(&mut self, talk: &Talk) {
        if !talk.progress {
            return;
        }
        let now = Instant::now();
        if talk.live {
            // What ends within a moment needs no progress.
            if now - self.started > Duration::from_millis(400) {
                talk.draw(&self.line(now));
            }
        } else if now - self.last_beat >= HEARTBEAT {
            self.last_beat = now;
            talk.note(&self.line(now));
        }
    }

    fn line(&self, now: Instant) -> String {
        let seconds = (now - self.started).as_secs_f64().max(0.001);
        let rate = (self.done + self.failed) as f64 / seconds;
        let mut line = format!("{} accepted", self.noun.count(self.done));
        if self.failed > 0 {
            line.push_str(&format!(", {} failed", self.failed));
        }
        line.push_str(&format!(", {rate:.0}/s, {} in flight", self.in_flight));
        if let Some(until) = self.held_until.filter(|until| *until > now) {
            let left = crate::session::whole_seconds(until - now);
            line.push_str(&format!(", rate limited, continues in {left} s"));
        }
        line.push_str(&format!(" ({})", human::duration(now - self.started)));
        line
    }
}

//! What goes on beside every run over a list, and how its report ends.

use core::convert::Infallible;
use core::time::Duration;

use cfcache_model::id::ZoneId;
use cfcache_model::target::Kind;
use tokio::sync::Notify;

use crate::console::Console;
use crate::exit::Exit;
use crate::interrupts::Interrupts;
use crate::purge::auto_plan;
use crate::purge::input::InputInfo;
use crate::report::Report;
use crate::session::Session;

/// How often a console is told that time has passed.
const TICK: Duration = Duration::from_millis(125);

/// What goes on beside a run.
pub(super) struct BackgroundTasks<'a> {
    pub(super) session: &'a Session,
    pub(super) console: &'a dyn Console,
    pub(super) interrupts: &'a Interrupts,
    /// Told when the limits are waited for the first time.
    pub(super) paced: &'a Notify,
    /// The zone whose plan is asked for then, where it is not known.
    pub(super) zone: Option<&'a ZoneId>,
}

impl BackgroundTasks<'_> {
    /// Draws the progress, gives up what is in flight when that is asked for, finds out the plan. It has no end: the
    /// run does.
    pub(super) async fn run(&self) -> Infallible {
        tokio::join!(self.draw(), self.give_up(), self.learn()).0
    }

    async fn draw(&self) -> Infallible {
        let mut interval = tokio::time::interval(TICK);
        loop {
            interval.tick().await;
            self.console.tick();
        }
    }

    async fn give_up(&self) {
        self.interrupts.nth(2).await;
        // The run ends by itself then, and knows what it did not wait for.
        self.session.give_up();
    }

    async fn learn(&self) {
        let Some(zone) = self.zone else { return };
        self.paced.notified().await;
        auto_plan::learn(self.session, zone, self.console).await;
    }
}

/// Says what became of the input, puts it into the report, and gives the way to end. `journal` is the name of the journal,
/// where there is one.
pub(super) fn finish_report(
    report: &mut Report,
    exit: Exit,
    kind: Kind,
    info: &InputInfo,
    journal: Option<&str>,
    console: &dyn Console,
) -> Exit {
    let mut exit = exit;
    let (broken, ended, unrecorded) = {
        let mut found = info.found.borrow_mut();
        (found.broken.take(), found.ended, found.unrecorded.take())
    };
    if let Some(failure) = &broken {
        exit = exit.or(console.failure(failure));
    }
    if let Some(name) = journal
        && ended
        && broken.is_none()
        && report.skipped > 0
        && report.skipped + report.duplicates == report.items
    {
        // Nothing was sent, and the exit code is 0: a job that is run again and again has to hear of it.
        let (all, them) = match report.items {
            1 => (format!("{} was", kind.count(1)), "it"),
            items => (format!("all {} were", kind.count(items)), "them"),
        };
        console.say(&format!(
                "warning: {all} accepted by an earlier run, as the journal `{name}` says; remove it to send {them} again", ));
    }
    let is_given_up = broken.is_some() || (info.stops_at_invalid && report.invalid > 0);
    if is_given_up {
        console.note("reading stopped there; what came before it was sent");
        exit = exit.or(Exit::Usage);
    } else if !ended {
        console.say(&format!(
                "the input was not read to its end: what follows its first {} is neither sent nor part of this report",
                kind.count(report.items),
            ));
        if journal.is_some() {
            console.note("the same command with the same journal goes on from here");
        }
    }
    report.is_incomplete = !ended || is_given_up;
    // The exit code may be that of something else, after which a run is just run again.
    if let Some(unrecorded) = unrecorded.filter(|_| exit != Exit::Failed) {
        console.say(&format!(
            "error: {unrecorded}: what was accepted and is not in it is sent again by the next run",
        ));
    }
    exit
}

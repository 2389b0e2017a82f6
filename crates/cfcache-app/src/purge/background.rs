//! The background tasks of a run over a list, and the end of its report.

use core::convert::Infallible;
use core::time::Duration;

use cfcache_model::id::ZoneId;
use cfcache_model::target::Kind;
use tokio::sync::Notify;

use crate::console::Console;
use crate::exit::Exit;
use crate::journal::JournalWriter;
use crate::purge::auto_plan;
use crate::purge::input::InputReader;
use crate::report::Report;
use crate::session::Session;

/// The interval of [`Console::tick`].
const TICK: Duration = Duration::from_millis(125);

/// Shows the progress, gives up requests in flight after the second interrupt, and looks up the plan of `zone` when the
/// run waits for the rate limits for the first time, which `paced` notifies. It never ends by itself.
pub(super) async fn run(
    session: &Session,
    console: &dyn Console,
    paced: &Notify,
    zone: Option<&ZoneId>,
) -> Infallible {
    let draw = async {
        let mut interval = tokio::time::interval(TICK);
        loop {
            interval.tick().await;
            console.tick();
        }
    };
    let give_up = async {
        console.interrupted(2).await;
        // The run then ends by itself, and knows which requests it did not wait for.
        session.give_up();
    };
    let learn = async {
        let Some(zone) = zone else { return };
        paced.notified().await;
        auto_plan::learn(session, zone, console).await;
    };
    tokio::join!(draw, give_up, learn).0
}

/// Reports the findings of the input, adds them to the report, and returns the exit code.
pub(super) fn finish_report(
    report: &mut Report,
    exit: Exit,
    kind: Kind,
    input: &InputReader<'_>,
    unrecorded: Option<String>,
    journal: Option<&JournalWriter>,
    console: &dyn Console,
) -> Exit {
    let mut exit = exit;
    let (broken, ended) = (input.found.borrow_mut().broken.take(), input.ended);
    if let Some(failure) = &broken {
        exit = exit.or(console.failure(failure));
    }
    let removed = journal.filter(|journal| journal.is_removed());
    if let Some(journal) = removed {
        console.say(&format!(
            "warning: the journal `{}` was removed during the run, so no run can continue from it",
            journal.name()
        ));
    }
    if let Some(journal) = journal
        && ended
        && broken.is_none()
        && report.skipped > 0
        && report.skipped + report.duplicates == report.items
    {
        // Nothing was sent, but the exit code is 0: the user of a job that runs repeatedly has to know.
        let (all, them) = match report.items {
            1 => (format!("{} was", kind.count(1)), "it"),
            items => (format!("all {} were", kind.count(items)), "them"),
        };
        console.say(&format!(
                "warning: {all} accepted by an earlier run, according to the journal `{}`; remove it to send {them} again", journal.name()));
    }
    let is_given_up = broken.is_some() || (input.stops_at_invalid && report.invalid > 0);
    if is_given_up {
        console.note("reading stopped there; the entries before it were sent");
        exit = exit.or(Exit::Usage);
    } else if !ended {
        console.say(&format!(
                "the input was not read completely: entries after its first {} are neither sent nor part of this report",
                kind.count(report.items),
            ));
        if journal.is_some() && removed.is_none() {
            console.note("the same command with the same journal continues from here");
        }
    }
    report.is_incomplete = !ended || is_given_up;
    // The exit code may be that of another failure, after which the run is repeated anyway.
    if let Some(unrecorded) = unrecorded.filter(|_| exit != Exit::Failed) {
        console.say(&format!(
            "error: {unrecorded}: the next run sends accepted entries that are not in it again",
        ));
    }
    exit
}

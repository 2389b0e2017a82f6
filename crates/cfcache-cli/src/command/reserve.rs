//! `reserve clear` and `reserve status`

use core::time::Duration;

use cfcache_model::endpoint::{CacheReserveClear, ClearCacheReserve, GetCacheReserveClear};
use tokio::time::Instant;

use crate::command::Interrupts;
use crate::command::setting::{SettingsContext, interrupted, is_unset};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::human;

/// The first pause between two looks at a clear; each is half as long again as the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest: a clear takes hours.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How the latest clear stands.
pub(super) async fn status(context: &SettingsContext<'_>) -> Result<Exit, Failure> {
    match context.call(&GetCacheReserveClear::new(&context.zone)).await {
        Ok(answer) => context.print(&answer.raw, &describe(&answer.result)),
        Err(error) if is_unset(&error) => context.print("null", "Cache Reserve was never cleared"),
        Err(error) => return Err(Failure::of(&error, "cannot read how clearing Cache Reserve stands")),
    }
    Ok(Exit::Accepted)
}

/// Begins a clear, and follows it where that is asked for.
pub(super) async fn clear(
    context: &SettingsContext<'_>,
    wait: bool,
    interrupts: &Interrupts,
) -> Result<Exit, Failure> {
    let request = ClearCacheReserve::new(&context.zone);
    let begun = tokio::select! {
        begun = context.call(&request) => begun.map_err(|error| Failure::of(&error, "cannot clear Cache Reserve"))?,
        () = interrupts.nth(1) => return Err(interrupted(true)),
    };
    if !wait || begun.result.is_completed() {
        context.print(&begun.raw, &describe(&begun.result));
        return Ok(Exit::Accepted);
    }
    tokio::select! {
        ended = follow(context) => ended,
        () = interrupts.nth(1) => Err(Failure::new(Exit::Interrupted, "interrupted; the clear goes on")
            .with_hint("`cfcache reserve status` tells how it stands")),
    }
}

/// Waits until a clear has ended.
async fn follow(context: &SettingsContext<'_>) -> Result<Exit, Failure> {
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    context.talk.note("Cache Reserve is being cleared; Ctrl-C ends the waiting, and not the clear");
    loop {
        let until = Instant::now() + pause;
        while Instant::now() < until {
            if context.talk.live && context.talk.progress {
                let elapsed = human::whole(started.elapsed());
                context.talk.draw(&format!("clearing Cache Reserve, {elapsed} so far"));
            }
            tokio::time::sleep(Duration::from_millis(500).min(until - Instant::now())).await;
        }
        let answer = context
            .call(&GetCacheReserveClear::new(&context.zone))
            .await
            .map_err(|error| Failure::of(&error, "the clear was begun; cannot read how it stands"))?;
        if answer.result.is_completed() {
            context.print(&answer.raw, &describe(&answer.result));
            return Ok(Exit::Accepted);
        }
        if !answer.result.is_in_progress() {
            // No other state is documented; what it means, nobody here can say.
            let state = cfcache_model::text::quote(&answer.result.state);
            return Err(Failure::new(Exit::Failed, format!("the clear is in the unknown state {state}"))
                .with_hint("`cfcache reserve status --json` shows all that the API says"));
        }
        if !context.talk.live && context.talk.progress && pause >= Duration::from_secs(10) {
            context.talk.note(&format!("clearing Cache Reserve, {} so far", human::whole(started.elapsed())));
        }
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

fn describe(clear: &CacheReserveClear) -> String {
    let began = clear.start_ts.as_deref().map(|time| format!(", begun {time}")).unwrap_or_default();
    let ended = clear.end_ts.as_deref().map(|time| format!(", ended {time}")).unwrap_or_default();
    let state = if clear.is_completed() {
        "Cache Reserve is cleared"
    } else if clear.is_in_progress() {
        "Cache Reserve is being cleared"
    } else {
        return format!(
            "clearing Cache Reserve: {}{began}{ended}",
            cfcache_model::text::clip(&clear.state, 80)
        );
    };
    format!("{state}{began}{ended}")
}

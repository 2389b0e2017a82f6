//! Clearing Cache Reserve.

use core::time::Duration;

use cfcache_model::endpoint::{ApiRequest, CacheReserveClear};
use cfcache_model::verdict::Answer;
use tokio::time::Instant;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::manage::{ManageReport, ManageResult, SettingsContext, interrupted, is_unset};
use crate::wording;

/// The first pause between two checks of a clear; each pause is 1.5 times the previous one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause, because a clear takes hours.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Reads the state of the latest clear.
pub(super) async fn status(context: &SettingsContext<'_>) -> Result<ManageReport, Failure> {
    match context.call(&ApiRequest::cache_reserve_clear(&context.zone)).await {
        Ok(answer) => Ok(report(answer)),
        Err(error) if is_unset(&error) => Ok(ManageReport::new("null", ManageResult::ReserveClear(None))),
        Err(error) => Err(Failure::from_error(&error, "cannot read the state of the Cache Reserve clear")),
    }
}

fn report(answer: Answer<CacheReserveClear>) -> ManageReport {
    ManageReport::new(answer.raw, ManageResult::ReserveClear(Some(answer.result)))
}

/// Starts a clear, and waits for its end if requested.
pub(super) async fn clear(context: &SettingsContext<'_>, wait: bool) -> Result<ManageReport, Failure> {
    let request = ApiRequest::clear_cache_reserve(&context.zone);
    let begun = tokio::select! {
        begun = context.call(&request) => begun.map_err(|error| Failure::from_error(&error, "cannot clear Cache Reserve"))?,
        () = context.console.interrupted(1) => return Err(interrupted(true)),
    };
    if !wait || begun.result.is_completed() {
        return Ok(report(begun));
    }
    tokio::select! {
        ended = follow(context) => ended,
        () = context.console.interrupted(1) => Err(Failure::new(Exit::Interrupted, "interrupted; the clear continues")
            .with_hint("`cfcache reserve status` shows its state")),
    }
}

/// Waits until a clear has ended.
async fn follow(context: &SettingsContext<'_>) -> Result<ManageReport, Failure> {
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    context.console.note("Cache Reserve is being cleared; Ctrl-C ends only the waiting, not the clear");
    loop {
        let until = Instant::now() + pause;
        while Instant::now() < until {
            let elapsed = started.elapsed();
            let line = format!("clearing Cache Reserve, {} so far", wording::whole(elapsed));
            context.console.progress(&line, elapsed);
            tokio::time::sleep(Duration::from_millis(500).min(until - Instant::now())).await;
        }
        let answer =
            context.call(&ApiRequest::cache_reserve_clear(&context.zone)).await.map_err(|error| {
                Failure::from_error(&error, "the clear was started, but its state cannot be read")
            })?;
        if answer.result.is_completed() {
            return Ok(report(answer));
        }
        if !answer.result.is_in_progress() {
            // No other state is documented.
            let state = cfcache_model::text::quote(&answer.result.state);
            return Err(Failure::new(Exit::Failed, format!("the clear is in the unknown state {state}"))
                .with_hint("`cfcache reserve status --json` shows the API's response"));
        }
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

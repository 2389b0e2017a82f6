//! `--plan auto`: looks up the plan of the zone when it matters.

use cfcache_client::Event;
use cfcache_model::endpoint::ApiRequest;
use cfcache_model::id::ZoneId;

use crate::console::Console;
use crate::session::Session;

/// Looks up the zone's plan after a run has exceeded what every plan allows, and uses its limits from then on. If the
/// token may not read the zone, the limits of Free stay.
pub(super) async fn learn(session: &Session, zone: &ZoneId, console: &dyn Console) {
    // A failure of this lookup is not a problem of the run.
    let mut quietly = |event: Event<'_>| {
        if let Event::Exchange(exchange) = &event {
            console.exchange(exchange);
        }
    };
    let told = match session.client.call(&ApiRequest::zone(zone), &mut quietly).await {
        Ok(answer) => match answer.result.known_plan() {
            Some(plan) => {
                session.client.set_limits(plan.purge_limits());
                format!("the zone's plan is `{plan}`: its limits apply from now on")
            }
            None => "the plan of the zone is not known: the limits of `free` apply".to_owned(),
        },
        Err(error) => format!("the zone's plan cannot be read ({error}): the limits of `free` apply"),
    };
    console.detail(&told);
}

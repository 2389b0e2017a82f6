//! `--plan auto`: whose limits to pace by, found out where it matters.

use cfcache_client::Event;
use cfcache_model::endpoint::GetZone;
use cfcache_model::id::ZoneId;

use crate::console::Console;
use crate::session::Session;

/// Asks the zone for its plan, once a run has outgrown what every plan allows, and paces by its limits from then on.
/// Where the token may not read the zone, those of free stay.
pub(super) async fn learn(session: &Session, zone: &ZoneId, console: &dyn Console) {
    // Whatever keeps it from succeeding is no trouble of the run's.
    let mut quietly = |event: Event<'_>| {
        if let Event::Exchange(exchange) = &event {
            console.exchange(exchange);
        }
    };
    let told = match session.client.call(&GetZone::new(zone), &mut quietly).await {
        Ok(answer) => match answer.result.known_plan() {
            Some(plan) => {
                session.client.set_limits(plan.purge_limits());
                format!("the zone's plan is `{plan}`: its limits are paced by from here on")
            }
            None => "the zone does not say which plan it has: paced by the limits of `free`".to_owned(),
        },
        Err(error) => format!("the zone's plan cannot be read ({error}): paced by the limits of `free`"),
    };
    console.detail(&told);
}

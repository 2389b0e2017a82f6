//! `zones list`

use cfcache_app::observe::CallObserver;
use cfcache_app::{pages, scope};
use cfcache_model::endpoint::ListZones;

use crate::args::OutputArg;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::{Talk, human};
use crate::resolve::Connection;
use crate::session::Session;

/// Lists all zones that the token may read, page by page.
pub(crate) async fn list(connection: Connection, talk: &Talk) -> Result<Exit, Failure> {
    let session = Session::open(&connection).await?;
    let client = &session.client;
    let zones = pages::all(async |page| client.call(&ListZones::page(page), &mut CallObserver(talk)).await)
        .await
        .map_err(|error| Failure::of(&error, "cannot list the zones"))?;
    if talk.output != OutputArg::Human {
        talk.data(&zones.raw);
    } else if zones.items.is_empty() {
        talk.note(scope::SEES_NONE);
    } else {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let rows: Vec<Vec<String>> = zones
            .items
            .iter()
            .map(|zone| {
                let plan = zone.plan.as_ref().and_then(|plan| plan.legacy_id.clone());
                vec![zone.name.clone(), zone.id.clone(), text(&zone.status), text(&plan)]
            })
            .collect();
        for line in human::table(&["NAME", "ID", "STATUS", "PLAN"], &rows) {
            talk.data(&line);
        }
    }
    session.close().await;
    Ok(Exit::Accepted)
}

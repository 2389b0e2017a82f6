//! `zones list`

use cfcache_model::endpoint::{ListZones, Zone};

use crate::args::OutputArg;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::observe::Trace;
use crate::render::{Talk, human};
use crate::resolve::Connection;
use crate::session::Session;

/// Lists all zones that the token may read, page by page.
pub(crate) async fn list(connection: Connection, talk: &Talk) -> Result<Exit, Failure> {
    let session = Session::open(&connection).await?;
    let mut zones: Vec<Zone> = Vec::new();
    // The elements of each page's `result`, as the API wrote them.
    let mut raw: Vec<String> = Vec::new();
    for page in 1.. {
        let answer = session
            .client
            .call(&ListZones::page(page), &mut Trace(talk))
            .await
            .map_err(|error| Failure::of(&error, "cannot list the zones"))?;
        let count = answer.result.len();
        zones.extend(answer.result);
        let inner = answer.raw.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or("");
        if !inner.trim().is_empty() {
            raw.push(inner.to_owned());
        }
        let pages = answer.result_info.and_then(|info| info.total_pages).unwrap_or(0);
        if count == 0 || u64::from(page) >= pages {
            break;
        }
    }
    if talk.output != OutputArg::Human {
        talk.data(&format!("[{}]", raw.join(",")));
    } else if zones.is_empty() {
        talk.note("the token may read no zone");
    } else {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let rows: Vec<Vec<String>> = zones
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

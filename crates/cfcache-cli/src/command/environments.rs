//! `environments list`

use cfcache_app::observe::CallObserver;
use cfcache_app::scope;
use cfcache_model::endpoint::ListEnvironments;

use crate::args::OutputArg;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::{Talk, human};
use crate::resolve::{Connection, ZoneRef};
use crate::session::Session;

/// Lists the environments of a zone.
pub(crate) async fn list(connection: Connection, zone: ZoneRef, talk: &Talk) -> Result<Exit, Failure> {
    let session = Session::open(&connection).await?;
    let zone = scope::zone(&session.client, &zone, talk).await?;
    let answer = session
        .client
        .call(&ListEnvironments::new(&zone), &mut CallObserver(talk))
        .await
        .map_err(|error| Failure::of(&error, "cannot list the environments"))?;
    if talk.output != OutputArg::Human {
        talk.data(&answer.raw);
    } else if answer.result.environments.is_empty() {
        talk.note("the zone has no environments");
    } else {
        let rows: Vec<Vec<String>> = answer
            .result
            .environments
            .iter()
            .map(|environment| {
                let version = environment.version.map(|version| version.to_string()).unwrap_or_default();
                vec![environment.name.clone(), environment.id.clone(), version]
            })
            .collect();
        for line in human::table(&["NAME", "ID", "VERSION"], &rows) {
            talk.data(&line);
        }
    }
    session.close().await;
    Ok(Exit::Accepted)
}

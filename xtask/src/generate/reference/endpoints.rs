//! `endpoints.md`, from the model's list.

use cfcache_model::endpoint::{self, Replay};

use crate::generate::reference::{begin, code, table};

pub(super) fn page() -> String {
    let mut page = begin("Endpoints", "`crates/cfcache-model/src/endpoint.rs` and the files beside it");
    page.push_str(
        "A name is what error messages, fixtures and logs call an endpoint.\n\
         The path is below the base URL.\n\
         A request that may be repeated is sent again where it is not known whether it was done; any other only where it is certain that it was not.\n\
         A token needs one of the permissions named.\n\n",
    );
    let rows = endpoint::all().map(|endpoint| {
        let repeated = match endpoint.replay {
            Replay::Safe => "yes",
            _ => "if not delivered",
        };
        [
            code(endpoint.name),
            endpoint.summary.to_owned(),
            endpoint.method.as_str().to_owned(),
            code(endpoint.path),
            repeated.to_owned(),
            endpoint.permission.to_owned(),
            endpoint.plans.to_owned(),
            format!("[documentation]({})", endpoint.page),
        ]
    });
    let head = ["Name", "Does", "Method", "Path", "Repeated", "Permission", "Plans", "Page"];
    page.push_str(&table(head, rows));
    page
}

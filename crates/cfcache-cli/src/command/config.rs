//! `config show` and `config path`

use std::path::{Path, PathBuf};

use cfcache_model::id::ZoneId;
use serde::Serialize;

use crate::args::OutputArg;
use crate::config::{CredentialPlace, Settings, Sourced, ValueOrigin};
use crate::domain;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::{Terminal, human};
use crate::secret::{bare, shown, shown_path};

/// A setting for display.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "configured", deny_unknown_fields))]
pub(super) struct Row {
    /// Its name; `zones."DOMAIN"` for each domain of the configuration, `site.NAME.KEY` for each site of the project.
    setting: String,
    /// Its value, secrets blanked; null if it is not set.
    value: Option<String>,
    /// The source of the value; null if nothing sets it.
    from: Option<String>,
}

/// Shows every setting and where its value comes from. Secrets are blanked.
pub(super) fn show(settings: &Settings, terminal: &Terminal) -> Exit {
    if terminal.output != OutputArg::Human {
        let mut rows = rows(settings, false);
        let from = settings.path.as_ref().map(|path| ValueOrigin::File(path.clone(), None).to_string());
        rows.extend(settings.zones.iter().map(|(domain, id)| Row {
            setting: format!("zones.\"{}\"", bare(&domain::unicode(domain))),
            value: Some(id.to_string()),
            from: from.clone(),
        }));
        rows.extend(sites(settings, false));
        terminal.json(&rows);
        return Exit::Accepted;
    }
    let rows = rows(settings, true);
    let is_named = |name: &str| rows.iter().any(|row| row.from.as_deref() == Some(name));
    let uses_file = is_named(USER_FILE) || settings.profile.is_some() || !settings.zones.is_empty();
    let row = |row: &Row| {
        let value = row.value.clone().unwrap_or_else(|| "(not set)".to_owned());
        vec![row.setting.clone(), value, row.from.clone().unwrap_or_default()]
    };
    let zone =
        |(domain, id): (&String, &ZoneId)| vec![bare(&domain::unicode(domain)).to_string(), id.to_string()];
    let file = |(name, path, _): (&str, &Option<PathBuf>, bool)| {
        Some(vec![name.to_owned(), settings.short(path.as_ref()?)])
    };
    let files = [
        (USER_FILE, &settings.path, uses_file),
        (PROJECT_FILE, &settings.project, is_named(PROJECT_FILE) || !settings.sites.is_empty()),
    ];
    // A single table with a path in each line would be wider than most terminals.
    let tables: [(&[&str], Vec<Vec<String>>); 4] = [
        (&["SETTING", "VALUE", "FROM"], rows.iter().map(row).collect()),
        (&["SITE", "VALUE", "FROM"], sites(settings, true).iter().map(row).collect()),
        (&["DOMAIN", "ZONE"], settings.zones.iter().map(zone).collect()),
        (&["FILE", "PATH"], files.into_iter().filter(|(.., is_used)| *is_used).filter_map(file).collect()),
    ];
    let mut is_first = true;
    for (header, rows) in tables.iter().filter(|(_, rows)| !rows.is_empty()) {
        if !core::mem::take(&mut is_first) {
            terminal.data("");
        }
        human::table(header, rows).iter().for_each(|line| terminal.data(line));
    }
    Exit::Accepted
}

const USER_FILE: &str = "user file";
const PROJECT_FILE: &str = "project file";

fn shown_origin(settings: &Settings, origin: &ValueOrigin, is_short: bool) -> String {
    match origin {
        ValueOrigin::File(_, Some(profile)) if is_short => format!("profile {}", shown(profile)),
        ValueOrigin::File(path, None) if is_short && settings.path.as_ref() == Some(path) => {
            USER_FILE.to_owned()
        }
        ValueOrigin::File(_, None) if is_short => PROJECT_FILE.to_owned(),
        _ => origin.to_string(),
    }
}

/// The settings. `is_short`: files are named by their role, other paths relative to the home directory.
fn rows(settings: &Settings, is_short: bool) -> Vec<Row> {
    let row = |setting: &str, value: Option<String>, origin: Option<&ValueOrigin>| Row {
        setting: setting.to_owned(),
        value,
        from: origin.map(|origin| shown_origin(settings, origin, is_short)),
    };
    let text = |setting: &str, sourced: Option<&Sourced<String>>| {
        let value = sourced.map(|sourced| shown_value(&sourced.value));
        row(setting, value, sourced.map(|sourced| &sourced.origin))
    };
    let credentials = settings.credentials.as_ref();
    let forbids = settings.forbidden_by.as_ref().map(|path| ValueOrigin::File(path.clone(), None));
    let default_plan = Sourced { value: "auto".to_owned(), origin: ValueOrigin::Default };
    vec![
        text("zone", settings.zone.as_ref()),
        text("environment", settings.environment.as_ref()),
        text("plan", settings.plan.as_ref().or(Some(&default_plan))),
        text("base-url", Some(&settings.base_url)),
        row(
            "credentials",
            credentials.map(|sourced| describe(settings, &sourced.value, is_short)),
            credentials.map(|sourced| &sourced.origin),
        ),
        row("profile", settings.profile.as_deref().map(|name| bare(name).to_string()), None),
        row(
            "forbid-everything",
            Some(forbids.is_some().to_string()),
            Some(forbids.as_ref().unwrap_or(&ValueOrigin::Default)),
        ),
    ]
}

/// Returns a value for display, without possible tokens, and without the user and password of a URL.
fn shown_value(value: &str) -> String {
    match value.rsplit_once('@') {
        Some((before, after)) if before.contains("://") => {
            let scheme = before.split("://").next().unwrap_or_default();
            format!("{scheme}://[secret]@{}", bare(after))
        }
        _ => bare(value).to_string(),
    }
}

/// The sites of the project: one row for each key that is set.
fn sites(settings: &Settings, is_short: bool) -> Vec<Row> {
    let origin = settings.sites_file.as_ref().map(|path| ValueOrigin::File(path.clone(), None));
    let from = origin.map(|origin| shown_origin(settings, &origin, is_short));
    let mut rows = Vec::new();
    for (name, site) in &settings.sites {
        let mut row = |key: &str, value: String| {
            rows.push(Row {
                setting: format!("site.{}.{key}", bare(name)),
                value: Some(value),
                from: from.clone(),
            });
        };
        if let Some(root) = &site.root {
            row("root", bare(&root.display().to_string()).to_string());
        }
        let keys = serde_json::to_value(site).ok();
        for (key, value) in keys.iter().filter_map(serde_json::Value::as_object).flatten() {
            row(key, value.to_string());
        }
    }
    rows
}

/// The kind of credentials and their location, without the credentials.
fn describe(settings: &Settings, place: &CredentialPlace, is_short: bool) -> String {
    let shown_at = |path: &Path| {
        if is_short {
            shown_path(Path::new(&settings.short(path))).to_string()
        } else {
            shown_path(path).to_string()
        }
    };
    match place {
        CredentialPlace::File(path) => {
            format!("token in {}", shown_at(path))
        }
        CredentialPlace::Token(_) => "token [secret]".to_owned(),
        CredentialPlace::Key { email, .. } => format!("API key of {} [secret]", bare(email)),
        CredentialPlace::Variable(name) => {
            format!("token in the variable {}", shown(name))
        }
        // The arguments are not shown, because they may contain secrets.
        CredentialPlace::Command { program, .. } => {
            format!("token from the command {}", shown_at(Path::new(program)))
        }
        CredentialPlace::Inline(_) => "token in the file itself [secret]".to_owned(),
    }
}

/// Prints the path at which the user's file is expected.
pub(super) fn path(path: Option<&Path>, terminal: &Terminal) -> Result<Exit, Failure> {
    match path {
        Some(path) => {
            terminal.data(&path.display().to_string());
            Ok(Exit::Accepted)
        }
        None => Err(Failure::usage(
            "the location of the configuration file is not known: neither `XDG_CONFIG_HOME` nor `HOME` is set",
        )
        .with_hint("name a file with `--config`")),
    }
}

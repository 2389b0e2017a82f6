//! `config show` and `config path`

use std::path::Path;

use serde::Serialize;

use crate::args::OutputArg;
use crate::config::{CredentialPlace, Origin, Settings, Sourced, TokenPlace};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::{Talk, human};

/// A setting as it is shown.
#[derive(Serialize)]
struct Row {
    setting: String,
    value: Option<String>,
    from: Option<String>,
}

/// Shows every setting with where it is from. Secrets are blanked.
pub(super) fn show(settings: &Settings, talk: &Talk) -> Exit {
    let text = |setting: &str, value: &Option<Sourced<String>>| row(setting, value.as_ref(), Clone::clone);
    let mut rows = vec![
        text("zone", &settings.zone),
        text("environment", &settings.environment),
        text("plan", &settings.plan),
        row("base-url", Some(&settings.base_url), Clone::clone),
        row("credentials", settings.credentials.as_ref(), describe),
        Row { setting: "profile".to_owned(), value: settings.profile.clone(), from: None },
        Row {
            setting: "everything".to_owned(),
            value: settings.forbidden_by.as_ref().map(|_| "forbidden".to_owned()),
            from: settings.forbidden_by.as_ref().map(|path| Origin::File(path.clone(), None).to_string()),
        },
    ];
    rows.extend(settings.zones.iter().map(|(domain, id)| Row {
        setting: format!("zones.\"{domain}\""),
        value: Some(id.to_string()),
        from: settings.path.as_ref().map(|path| Origin::File(path.clone(), None).to_string()),
    }));
    if talk.output != OutputArg::Human {
        talk.json(&rows);
        return Exit::Accepted;
    }
    let cells: Vec<Vec<String>> = rows
        .into_iter()
        .map(|row| {
            vec![
                row.setting,
                row.value.unwrap_or_else(|| "(not set)".to_owned()),
                row.from.unwrap_or_default(),
            ]
        })
        .collect();
    for line in human::table(&["SETTING", "VALUE", "FROM"], &cells) {
        talk.data(&line);
    }
    Exit::Accepted
}

fn row<T>(setting: &str, value: Option<&Sourced<T>>, show: impl Fn(&T) -> String) -> Row {
    Row {
        setting: setting.to_owned(),
        value: value.map(|sourced| show(&sourced.value)),
        from: value.map(|sourced| sourced.origin.to_string()),
    }
}

/// What sort of credentials, and where they are: never what they are.
fn describe(place: &CredentialPlace) -> String {
    match place {
        CredentialPlace::OptionFile(path) | CredentialPlace::Profile(TokenPlace::File(path)) => {
            format!("token in the file `{}`", path.display())
        }
        CredentialPlace::Token(_) => "token [secret]".to_owned(),
        CredentialPlace::Key { email, .. } => format!("API key of {email} [secret]"),
        CredentialPlace::Profile(TokenPlace::Variable(name)) => format!("token in the variable `{name}`"),
        // The arguments may say more than they should.
        CredentialPlace::Profile(TokenPlace::Command { program, .. }) => {
            format!("token from the command `{program}`")
        }
        CredentialPlace::Profile(TokenPlace::Inline(_)) => "token in the file itself [secret]".to_owned(),
    }
}

/// Says where the user's file is looked for.
pub(super) fn path(path: Option<&Path>, talk: &Talk) -> Result<Exit, Failure> {
    match path {
        Some(path) => {
            talk.data(&path.display().to_string());
            Ok(Exit::Accepted)
        }
        None => Err(Failure::usage(
            "there is no place for a configuration file: neither `XDG_CONFIG_HOME` nor `HOME` is set",
        )
        .with_hint("name a file with `--config`")),
    }
}

//! The configured site of a deployment, and the file with its state between two runs.

use std::path::PathBuf;

use cfcache_client::DEFAULT_BASE_URL;
use cfcache_site::mapping::{Site, SiteUrl};

use crate::config::{EnvVars, PROJECT_FILE, Settings};
use crate::failure::Failure;
use crate::secret::shown;

impl Settings {
    /// Returns the site with that name, or the only site, and its name if it has one. Given URLs replace those of the
    /// site's root.
    ///
    /// # Errors
    ///
    /// [`Failure`] if there is no such site, if there are several and none is selected, or if it has no URL.
    pub fn parse_site(&self, name: Option<&str>, urls: &[String]) -> Result<(Option<String>, Site), Failure> {
        let sites = &self.sites;
        let known = || sites.keys().map(|name| shown(name).to_string()).collect::<Vec<_>>().join(", ");
        let (name, mut site) = match name {
            Some(name) => match sites.get(name) {
                Some(site) => (Some(name.to_owned()), site.clone()),
                None if sites.is_empty() && !urls.is_empty() => (Some(name.to_owned()), Site::default()),
                None => {
                    let failure = Failure::usage(format!("there is no site {}", shown(name)));
                    return Err(if sites.is_empty() {
                        failure.with_hint(format!(
                            "a site is a table `[site.NAME]` in `{PROJECT_FILE}`, found from here upwards"
                        ))
                    } else {
                        failure.with_hint(format!("there is {}", known()))
                    });
                }
            },
            None if sites.len() > 1 => {
                return Err(Failure::usage("there are several sites; name one")
                    .with_hint(format!("use `--site NAME` with one of {}", known())));
            }
            None => {
                let only = sites.iter().next();
                only.map(|(name, site)| (Some(name.clone()), site.clone())).unwrap_or_default()
            }
        };
        if !urls.is_empty() {
            let urls = urls.iter().map(|url| SiteUrl::parse(url)).collect::<Result<Vec<_>, _>>();
            site.url = urls.map_err(|invalid| Failure::usage(format!("`--url`: {invalid}")))?;
        }
        if site.url.is_empty() {
            return Err(Failure::usage("the URL of the site is not known").with_hint(format!(
                "name the URL of its root with `--url`, or in a table `[site.NAME]` of `{PROJECT_FILE}`"
            )));
        }
        Ok((name, site))
    }

    /// Returns the file that remembers a site: a folder for the zone, and a file for the site.
    ///
    /// # Errors
    ///
    /// Where the environment names no directory for states.
    pub fn state_file(
        &self,
        environment: &EnvVars,
        name: Option<&str>,
        site: &Site,
    ) -> Result<PathBuf, Failure> {
        let Some(home) = &environment.state_home else {
            return Err(Failure::usage(
                "the location of the state is not known: `XDG_STATE_HOME` is not an absolute path, and `HOME` is not set",
            )
            .with_hint("name a file with `--state`"));
        };
        let url = site.url.first().map_or("", SiteUrl::as_str);
        let url = url.split_once("://").map_or(url, |(_, rest)| rest);
        let host = url.split('/').next().unwrap_or_default();
        let zone = self.zone.as_ref().map_or(host, |zone| zone.value.trim());
        let file = format!("{}.state", file_name(name.unwrap_or(url)));
        // An acceptance by another API does not count for this one: a test with the emulator must not count as a purge.
        let base = self.base_url.value.trim_end_matches('/');
        let home = home.join("cfcache");
        let home = match base.split_once("://") {
            _ if self.emulator => home.join("emulator"),
            Some((_, base)) if format!("https://{base}") != DEFAULT_BASE_URL => home.join(file_name(base)),
            _ => home,
        };
        Ok(home.join(file_name(zone)).join(file))
    }
}

/// Converts a text to a file name: characters that are not portable are written as `%XX`.
fn file_name(text: &str) -> String {
    let mut name = String::new();
    for byte in text.bytes() {
        let is_plain =
            byte.is_ascii_alphanumeric() || b"-_".contains(&byte) || (byte == b'.' && !name.is_empty());
        if is_plain {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn site_names_are_encoded_as_file_names() {
        for (text, expected) in [
            ("www", "www"),
            ("example.com", "example.com"),
            ("example.com/sub", "example.com%2Fsub"),
            ("..", "%2E."),
            ("ü b", "%C3%BC%20b"),
            ("a:8080", "a%3A8080"),
        ] {
            assert_eq!(file_name(text), expected);
        }
    }
}

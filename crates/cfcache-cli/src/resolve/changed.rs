//! `purge changed` and `invalidate changed`: which site, what is deployed, and where that is remembered.

use core::time::Duration;
use std::path::{Path, PathBuf};

use cfcache_app::job::{ChangedJob, ChangedSource, Destination, FirstRun, Job as PurgeJob, Scope};
use cfcache_app::report::FallbackTo;
use cfcache_client::DEFAULT_BASE_URL;
use cfcache_model::endpoint::Action;
use cfcache_site::changes::ListFormat;
use cfcache_site::mapping::{Site, SiteUrl};

use crate::args::{ChangedArgs, ChangesArg, FallbackArg, FirstArg};
use crate::config;
use crate::failure::Failure;
use crate::resolve::connection::plan;
use crate::resolve::visiting::Purged;
use crate::resolve::{Resolver, mapped};
use crate::secret::{shown, shown_path};

impl Resolver<'_> {
    pub(super) fn changed(&self, action: Action, args: ChangedArgs) -> Result<super::Job, Failure> {
        let global = self.global;
        if global.journal.is_some() {
            return Err(Failure::usage(
                "`--journal` is not for `changed`: its state remembers what is left to do",
            )
            .with_hint("run it again after a failure; `--state FILE` says where the state is"));
        }
        if global.on_invalid.is_some() {
            return Err(Failure::usage(
                "`--on-invalid` is for lists of entries, and `changed` makes its own",
            ));
        }
        if args.begin && global.dry_run {
            return Err(Failure::usage(
                "`--begin` and `--dry-run` exclude each other: one of them only writes",
            ));
        }
        if args.fallback.contains(&FallbackArg::Everything)
            && let Some(path) = &self.settings.forbidden_by
        {
            return Err(Failure::usage(format!("{} forbids {action} of everything", shown_path(path)))
                .with_hint("leave `everything` out of `--fallback`"));
        }
        let (name, site) = self.site(&args)?;
        let source = self.source(&args, &site)?;
        let reads_stdin = |path: &&PathBuf| path.as_path() == Path::new("-");
        let inputs =
            args.sitemap.iter().chain(&args.manifest).chain(&args.from).chain(&global.api_token_file);
        let reads_stdin = match inputs.filter(reads_stdin).count() {
            0 => false,
            1 => true,
            _ => {
                return Err(Failure::usage(
                    "standard input can be read once, and `-` is given more than once",
                ));
            }
        };
        let visits = self.visits(&Purged::Changed { expects_files: args.expect_files, reads_stdin })?;
        if args.begin && visits.is_some() {
            return Err(Failure::usage(
                "`--begin` only writes: there is nothing to wait for, to verify or to fetch after it",
            )
            .with_hint("give `--after`, `--verify` and `--warm` to the run after the upload"));
        }
        let named = self.settings.plan.as_ref().map(|plan| plan.value.as_str());
        let fallback = args.fallback.iter().map_while(|step| match step {
            FallbackArg::Prefix => Some(FallbackTo::Prefix),
            FallbackArg::Host => Some(FallbackTo::Host),
            FallbackArg::Everything => Some(FallbackTo::Everything),
            FallbackArg::None => None,
        });
        Ok(self.purge_job(PurgeJob::Changed(Box::new(ChangedJob {
            action,
            visits,
            source,
            state: self.state(args.state, name.as_deref(), &site)?,
            site,
            destination: self.destination()?,
            connection: self.connection(global.dry_run || args.begin),
            plan: plan(named)?,
            within: (!global.no_rate_limit).then(|| Duration::from_secs_f64(args.within)),
            fallback: fallback.collect(),
            first: match args.first {
                FirstArg::Host => FirstRun::Hosts,
                FirstArg::List => FirstRun::List,
                FirstArg::Nothing => FirstRun::Nothing,
            },
            begin: args.begin,
            explain: args.explain,
            yes: global.yes || global.force,
            failed_to: global.failed_to.clone(),
            batch_size: global.batch_size,
        }))))
    }

    /// The site that is meant, and its name if it has one.
    fn site(&self, args: &ChangedArgs) -> Result<(Option<String>, Site), Failure> {
        let sites = &self.settings.sites;
        let known = || sites.keys().map(|name| shown(name).to_string()).collect::<Vec<_>>().join(", ");
        let (name, site) = match &args.site {
            Some(name) => match sites.get(name) {
                Some(site) => (Some(name.clone()), site.clone()),
                None if sites.is_empty() && !args.url.is_empty() => (Some(name.clone()), Site::default()),
                None => {
                    let failure = Failure::usage(format!("there is no site {}", shown(name)));
                    return Err(if sites.is_empty() {
                        failure.with_hint(format!(
                            "a site is a table `[site.NAME]` in `{}`, found from here upwards",
                            config::PROJECT_FILE
                        ))
                    } else {
                        failure.with_hint(format!("there is {}", known()))
                    });
                }
            },
            None => match sites.len() {
                0 => (None, Site::default()),
                1 => sites
                    .iter()
                    .next()
                    .map(|(name, site)| (Some(name.clone()), site.clone()))
                    .unwrap_or_default(),
                _ => {
                    return Err(Failure::usage("there are several sites, and none is named")
                        .with_hint(format!("name one of {} with `--site NAME`", known())));
                }
            },
        };
        let mut site = site;
        if !args.url.is_empty() {
            let urls = args.url.iter().map(|url| SiteUrl::parse(url)).collect::<Result<Vec<_>, _>>();
            site.url = urls.map_err(|invalid| Failure::usage(format!("`--url`: {invalid}")))?;
        }
        if site.url.is_empty() {
            return Err(Failure::usage("where the site is served is not known").with_hint(format!(
                "name the URL of its root with `--url`, or in a table `[site.NAME]` of `{}`",
                config::PROJECT_FILE
            )));
        }
        Ok((name, site))
    }

    fn source(&self, args: &ChangedArgs, site: &Site) -> Result<ChangedSource, Failure> {
        let project = self.settings.sites_file.as_deref().and_then(Path::parent);
        let root = args.dir.clone();
        if args.null && args.manifest.is_none() && args.changes != Some(ChangesArg::Paths) {
            return Err(Failure::usage("`--null` is for `--manifest` and for `--changes paths`"));
        }
        if let Some(file) = &args.manifest {
            return Ok(ChangedSource::Manifest { file: file.clone(), is_null_separated: args.null, root });
        }
        if let Some(tree) = &args.git_tree {
            return Ok(ChangedSource::GitTree(tree.clone()));
        }
        if !args.sitemap.is_empty() {
            return Ok(ChangedSource::Sitemaps(args.sitemap.clone()));
        }
        if let (Some(changes), Some(file)) = (args.changes, &args.from) {
            let format = match changes {
                ChangesArg::Git => ListFormat::Git,
                ChangesArg::Rsync => ListFormat::Rsync,
                ChangesArg::Aws => ListFormat::Aws,
                ChangesArg::Rclone => ListFormat::Rclone,
                ChangesArg::Paths => ListFormat::Paths,
            };
            // The other tools tell paths from the folder on that they were given.
            let is_of_project = matches!(format, ListFormat::Git | ListFormat::Paths);
            return Ok(ChangedSource::Changes {
                format,
                file: file.clone(),
                is_null_separated: args.null || format.is_null_separated(),
                root: root.or_else(|| site.root.clone().filter(|_| is_of_project)),
            });
        }
        match (root, &site.root, project) {
            (Some(path), ..) => Ok(ChangedSource::Directory { path, within: None }),
            (None, Some(root), Some(project)) => {
                Ok(ChangedSource::Directory { path: project.join(root), within: Some(project.to_owned()) })
            }
            _ => Err(Failure::usage("no directory is given").with_hint(
                "name the one that was deployed, or `--manifest`, `--git-tree`, `--sitemap` or `--changes`",
            )),
        }
    }

    /// The file that remembers the site: a folder for the zone, and a file for the site.
    fn state(&self, named: Option<PathBuf>, name: Option<&str>, site: &Site) -> Result<PathBuf, Failure> {
        if let Some(path) = named {
            return Ok(path);
        }
        let Some(home) = &self.environment.state_home else {
            return Err(Failure::usage(
                "there is no place for the state: neither `XDG_STATE_HOME` nor `HOME` is set",
            )
            .with_hint("name a file with `--state`"));
        };
        let url = site.url.first().map_or("", SiteUrl::as_str);
        let url = url.split_once("://").map_or(url, |(_, rest)| rest);
        let host = url.split('/').next().unwrap_or_default();
        let zone = self.settings.zone.as_ref().map_or(host, |zone| zone.value.trim());
        let file = format!("{}.state", file_name(name.unwrap_or(url)));
        // What another API accepted says nothing of this one: a try-out must not count as a purge.
        let base = self.settings.base_url.value.trim_end_matches('/');
        let home = home.join("cfcache");
        let home = match base.split_once("://") {
            _ if self.global.emulator => home.join("emulator"),
            Some((_, base)) if format!("https://{base}") != DEFAULT_BASE_URL => home.join(file_name(base)),
            _ => home,
        };
        Ok(home.join(file_name(zone)).join(file))
    }

    fn destination(&self) -> Result<Destination, Failure> {
        if self.settings.zone.is_some() || self.global.emulator {
            return Ok(Destination::Zone(Scope { zone: self.zone()?, environment: self.environment()? }));
        }
        if self.settings.environment.is_some() {
            return Err(Failure::usage("`--environment` is for one zone, and none is given")
                .with_hint(format!("name it with `--zone ID|DOMAIN`, or set `{}`", config::ZONE_ID)));
        }
        for (domain, id) in &self.settings.zones {
            self.warn_if_odd(id, &mapped(domain));
        }
        Ok(Destination::Hosts(self.settings.zones.clone().into_iter().collect()))
    }
}

/// A text as the name of a file: what could lead elsewhere, or is no name on some system, becomes `%XX`.
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
    fn names_of_sites_are_names_of_files() {
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

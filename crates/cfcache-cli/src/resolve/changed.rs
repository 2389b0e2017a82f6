//! The options of `purge changed` and `invalidate changed`.

use core::time::Duration;
use std::path::Path;

use cfcache_app::job::{ChangedJob, ChangedSource, Job};
use cfcache_app::report::FallbackTo;
use cfcache_model::endpoint::Action;
use cfcache_site::changes::ListFormat;
use cfcache_site::mapping::Site;

use crate::args::ChangedArgs;
use crate::failure::Failure;
use crate::resolve::Resolver;
use crate::secret::shown_path;

impl Resolver<'_> {
    pub(super) fn changed(&self, action: Action, args: ChangedArgs) -> Result<super::Task, Failure> {
        let global = self.global;
        if global.journal.is_some() {
            return Err(Failure::usage(
                "`--journal` is not for `changed`, whose state records what is left to do",
            )
            .with_hint("run it again after a failure; `--state FILE` sets the location of the state"));
        }
        if global.on_invalid.is_some() {
            return Err(Failure::usage(
                "`--on-invalid` is for lists of entries; `changed` creates its entries itself",
            ));
        }
        if args.begin && global.common.dry_run {
            return Err(Failure::usage(
                "`--begin` and `--dry-run` exclude each other: `--begin` writes the state",
            ));
        }
        if args.fallback.contains(&Some(FallbackTo::Everything))
            && let Some(path) = &self.settings.forbidden_by
        {
            return Err(Failure::usage(format!("{} forbids {action} of everything", shown_path(path)))
                .with_hint("remove `everything` from `--fallback`"));
        }
        let (name, site) = self.settings.parse_site(args.site.as_deref(), &args.url)?;
        let source = self.source(&args, &site)?;
        self.check_stdin(args.sitemap.iter().chain(&args.manifest).chain(&args.from))?;
        let visits = self.visits(None, args.expect_files)?;
        if args.begin && visits.is_some() {
            return Err(Failure::usage(
                "`--begin` only records: it has nothing to wait for, to verify or to fetch",
            )
            .with_hint("use `--after`, `--verify` and `--warm` with the run after the upload"));
        }
        let state = match args.state {
            Some(path) => path,
            None => self.settings.state_file(self.environment, name.as_deref(), &site)?,
        };
        Ok(self.purge_job(Job::Changed(Box::new(ChangedJob {
            action,
            visits,
            source,
            state,
            site,
            destination: self.settings.parse_destination(self.environment, self.terminal)?,
            connection: self.connection(global.common.dry_run || args.begin),
            plan: self.settings.parse_plan()?,
            within: (!global.no_rate_limit).then(|| Duration::from_secs_f64(args.within)),
            fallback: args.fallback.into_iter().map_while(|step| step).collect(),
            first: args.first,
            begin: args.begin,
            explain: args.explain,
            yes: global.common.yes || global.common.force,
            failed_to: global.failed_to.clone(),
            batch_size: global.batch_size,
        }))))
    }

    fn source(&self, args: &ChangedArgs, site: &Site) -> Result<ChangedSource, Failure> {
        let project = self.settings.sites_file.as_deref().and_then(Path::parent);
        let root = args.dir.clone();
        if args.null && args.manifest.is_none() && args.changes != Some(ListFormat::Paths) {
            return Err(Failure::usage("`--null` is only for `--manifest` and for `--changes paths`"));
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
        if let (Some(format), Some(file)) = (args.changes, &args.from) {
            // Other tools print paths relative to the folder that they were given.
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
                "give the directory that was deployed, or use `--manifest`, `--git-tree`, `--sitemap` or `--changes`",
            )),
        }
    }
}

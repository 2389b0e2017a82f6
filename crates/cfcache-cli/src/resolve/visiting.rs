//! The options about visitors: around a purge, and for `probe` and `warm`.

use core::time::Duration;
use std::path::Path;

use cfcache_app::manage::only_reads;
use cfcache_app::visitor::{parse_gate, parse_url, read_expected, read_urls, visitor};
use cfcache_model::endpoint::Action;
use cfcache_model::target::Kind;
use cfcache_probe::{Limits, UrlList, Variant, VisitorBuilder};

use crate::args::{InputArgs, PagesArgs, VerifyArg};
use crate::failure::Failure;
use crate::job::{GateJob, VerifyJob, Visits, WarmJob};
use crate::resolve::{Resolver, Targets, Task, targets};

/// The default number of URLs to verify.
const SAMPLE: usize = 100;

/// The parts of a purge that determine the URLs to verify.
pub(super) enum PurgeSubject<'a> {
    Everything,
    List(&'a Targets),
    Changed {
        /// Whether bodies are compared with the deployed files.
        expects_files: bool,
        /// Whether the list of changes is read from standard input.
        reads_stdin: bool,
    },
}

impl PurgeSubject<'_> {
    fn is_urls(&self) -> bool {
        match self {
            Self::Everything => false,
            Self::List(targets) => targets.kind == Kind::Files,
            Self::Changed { .. } => true,
        }
    }

    fn reads_stdin(&self) -> bool {
        match self {
            Self::Everything => false,
            Self::List(targets) => targets.files.iter().any(|file| file == Path::new("-")),
            Self::Changed { reads_stdin, .. } => *reads_stdin,
        }
    }

    /// Returns whether exactly one URL is verified, including `named` explicitly named ones.
    fn is_one(&self, named: usize) -> bool {
        match self {
            Self::List(targets) if self.is_urls() => {
                targets.files.is_empty()
                    && targets.sitemaps.is_empty()
                    && targets.arguments.len() + named == 1
            }
            Self::Changed { .. } => false,
            _ => named == 1,
        }
    }
}

impl Resolver<'_> {
    /// The visitor requests before and after a purge; `None` if there are none.
    pub(super) fn visits(&self, purged: &PurgeSubject<'_>) -> Result<Option<Visits>, Failure> {
        let visiting = &self.global.visiting;
        let gate = self.gate()?;
        let names_urls = !visiting.verify_url.is_empty() || !visiting.verify_from.is_empty();
        let wants_verify = visiting.verify.is_some() || names_urls || visiting.expect.is_some();
        if !wants_verify && visiting.verify_timeout.is_some() {
            return Err(Failure::usage("`--verify-timeout` needs `--verify`"));
        }
        let (warm_as, certify) = (!visiting.warm_as.is_empty(), visiting.warm_certify);
        if !visiting.warm && (warm_as || certify) {
            let option = if warm_as { "--warm-as" } else { "--warm-certify" };
            return Err(Failure::usage(format!("`{option}` needs `--warm`")));
        }
        let expects_files = matches!(purged, PurgeSubject::Changed { expects_files: true, .. });
        if expects_files && !wants_verify {
            return Err(Failure::usage("`--expect-files` needs `--verify`"));
        }
        if (wants_verify || visiting.warm) && !purged.is_urls() && !names_urls {
            let option = if wants_verify { "--verify" } else { "--warm" };
            return Err(Failure::usage(format!("`{option}`: it is not known which URLs this purge affects"))
                .with_hint("name them with `--verify-url URL` or `--verify-from FILE`"));
        }
        if gate.is_none() && !wants_verify && !visiting.warm {
            self.no_visitor_options()?;
            return Ok(None);
        }
        let urls = self.verify_urls(purged)?;
        let verify = wants_verify || !urls.is_empty();
        let verify = verify.then(|| -> Result<VerifyJob, Failure> {
            let (expected, expected_of_all) = match &visiting.expect {
                Some(path) => read_expected(path, purged.is_one(urls.len()))?,
                None => Default::default(),
            };
            Ok(VerifyJob {
                sample: match visiting.verify {
                    Some(VerifyArg::All) => None,
                    Some(VerifyArg::AtMost(most)) => Some(most),
                    Some(VerifyArg::Transition) | None => Some(SAMPLE),
                },
                transition: visiting.verify == Some(VerifyArg::Transition),
                timeout: Duration::from_secs_f64(visiting.verify_timeout.unwrap_or(30.0)),
                limits: self.visitor_limits(Limits::PROBE),
                expected,
                expected_of_all,
                expects_files,
                urls,
            })
        });
        let warm = visiting.warm.then(|| WarmJob {
            limits: self.visitor_limits(Limits::WARM),
            variants: variants(&visiting.warm_as),
            certify,
        });
        Ok(Some(Visits { visitor: self.visitor()?, gate, verify: verify.transpose()?, warm }))
    }

    fn gate(&self) -> Result<Option<GateJob>, Failure> {
        let visiting = &self.global.visiting;
        let Some(text) = &visiting.after else {
            for (option, is_given) in [
                ("--after-timeout", visiting.after_timeout.is_some()),
                ("--after-no-bust", visiting.after_no_bust),
            ] {
                if is_given {
                    return Err(Failure::usage(format!("`{option}` needs `--after`")));
                }
            }
            return Ok(None);
        };
        let timeout = visiting.after_timeout.map(Duration::from_secs_f64);
        parse_gate(text, timeout, !visiting.after_no_bust).map(Some)
    }

    /// The URLs of `--verify-url` and `--verify-from`.
    fn verify_urls(&self, purged: &PurgeSubject<'_>) -> Result<UrlList, Failure> {
        let visiting = &self.global.visiting;
        let mut urls = UrlList::new();
        for url in &visiting.verify_url {
            urls.push(&parse_url(url, "`--verify-url`")?);
        }
        for path in &visiting.verify_from {
            if path == Path::new("-") && purged.reads_stdin() {
                return Err(Failure::usage(
                    "`-` is given more than once, but standard input can only be read once",
                ));
            }
            read_urls(path, &mut |url| urls.push(&url))?;
        }
        Ok(urls)
    }

    pub(super) fn probe(&self, input: InputArgs, pages: PagesArgs) -> Result<Task, Failure> {
        if self.global.common.dry_run {
            return Err(only_reads());
        }
        let visiting = &self.global.visiting;
        for (option, is_given) in
            [("--warm-as", !visiting.warm_as.is_empty()), ("--warm-certify", visiting.warm_certify)]
        {
            if is_given {
                return Err(Failure::usage(format!("`{option}` is for warming; `probe` does not warm")));
            }
        }
        let targets = self.visited(input, pages)?;
        Ok(Task::Probe(targets, self.visitor()?, self.limits(Limits::PROBE)))
    }

    pub(super) fn warm(&self, input: InputArgs, pages: PagesArgs) -> Result<Task, Failure> {
        let targets = self.visited(input, pages)?;
        let (visitor, limits, visiting) = (self.visitor()?, self.limits(Limits::WARM), &self.global.visiting);
        let variants = variants(&visiting.warm_as);
        Ok(if self.global.common.dry_run {
            Task::WarmDryRun(targets, variants)
        } else {
            Task::Warm(targets, visitor, WarmJob { limits, variants, certify: visiting.warm_certify })
        })
    }

    /// The URLs to request, without a purge.
    fn visited(&self, input: InputArgs, pages: PagesArgs) -> Result<Targets, Failure> {
        for (option, is_given) in [
            ("--environment", self.global.common.environment.is_some()),
            ("--journal", self.global.journal.is_some()),
            ("--failed-to", self.global.failed_to.is_some()),
            ("--batch-size", self.global.batch_size.is_some()),
            ("--emulator", self.global.common.emulator),
            ("--verify", self.global.visiting.verify.is_some()),
            ("--verify-url", !self.global.visiting.verify_url.is_empty()),
            ("--verify-from", !self.global.visiting.verify_from.is_empty()),
            ("--verify-timeout", self.global.visiting.verify_timeout.is_some()),
            ("--expect", self.global.visiting.expect.is_some()),
            ("--after", self.global.visiting.after.is_some()),
            ("--after-timeout", self.global.visiting.after_timeout.is_some()),
            ("--after-no-bust", self.global.visiting.after_no_bust),
            ("--warm", self.global.visiting.warm),
        ] {
            if is_given {
                return Err(Failure::usage(format!(
                    "`{option}` is for purges; this command only requests URLs"
                )));
            }
        }
        targets(Action::Purge, Kind::Files, input, pages, Vec::new(), self.global)
    }

    /// The limits for one host during a purge, where `--concurrency` and `--no-rate-limit` apply to the API.
    fn visitor_limits(&self, usual: Limits) -> Limits {
        Limits::new(usual.at_once, self.global.visiting.visitor_rate.or(usual.per_second))
    }

    /// The limits for one host: the defaults, changed by options.
    fn limits(&self, usual: Limits) -> Limits {
        let at_once = self.global.concurrency.unwrap_or(usual.at_once);
        let per_second = match self.global.visiting.visitor_rate {
            Some(rate) => Some(rate),
            None if self.global.no_rate_limit => None,
            None => usual.per_second,
        };
        Limits::new(at_once, per_second)
    }

    fn visitor(&self) -> Result<VisitorBuilder, Failure> {
        let (global, visiting) = (self.global, &self.global.visiting);
        let timeout = global.timeout.map(Duration::from_secs_f64);
        let (connect_to, headers) = (visiting.verify_connect.as_deref(), visiting.visitor_headers.as_deref());
        visitor(self.network()?, timeout, connect_to, headers, self.environment)
    }
}

/// The visitors as which to warm: the default one, and those that are named.
fn variants(named: &[Variant]) -> Vec<Variant> {
    let mut variants = vec![Variant::Plain];
    for variant in named {
        if !variants.contains(variant) {
            variants.push(*variant);
        }
    }
    variants
}

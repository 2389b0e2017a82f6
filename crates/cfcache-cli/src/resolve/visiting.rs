//! The options about visitors: around a purge, and for `probe` and `warm`.

use core::time::Duration;

use cfcache_app::manage::only_reads;
use cfcache_app::visitor::{parse_gate, parse_url, read_expected, read_urls, visitor};
use cfcache_model::target::Kind;
use cfcache_probe::{Limits, UrlList, Variant, VisitorBuilder};

use crate::args::{InputArgs, PagesArgs, VerifyArg};
use crate::failure::Failure;
use crate::job::{GateJob, VerifyJob, Visits, WarmJob};
use crate::resolve::{Resolver, Targets, Task, targets};

/// The default number of URLs to verify.
const SAMPLE: usize = 100;

impl Resolver<'_> {
    /// The visitor requests before and after a purge; `None` if there are none. `purged` is the number of URLs that it
    /// purges, `None` if that is not known yet; `expects_files` is whether bodies are compared with the deployed files.
    pub(super) fn visits(
        &self,
        purged: Option<usize>,
        expects_files: bool,
    ) -> Result<Option<Visits>, Failure> {
        let global = self.global;
        let gate = self.gate()?;
        let names_urls = !global.verify_url.is_empty() || !global.verify_from.is_empty();
        let wants_verify = global.verify.is_some() || names_urls || global.expect.is_some();
        if !wants_verify && global.verify_timeout.is_some() {
            return Err(Failure::usage("`--verify-timeout` needs `--verify`"));
        }
        let (warm_as, certify) = (!global.warm_as.is_empty(), global.warm_certify);
        if !global.warm && (warm_as || certify) {
            let option = if warm_as { "--warm-as" } else { "--warm-certify" };
            return Err(Failure::usage(format!("`{option}` needs `--warm`")));
        }
        if expects_files && !wants_verify {
            return Err(Failure::usage("`--expect-files` needs `--verify`"));
        }
        if (wants_verify || global.warm) && purged == Some(0) && !names_urls {
            let option = if wants_verify { "--verify" } else { "--warm" };
            return Err(Failure::usage(format!("`{option}`: it is not known which URLs this purge affects"))
                .with_hint("name them with `--verify-url URL` or `--verify-from FILE`"));
        }
        if gate.is_none() && !wants_verify && !global.warm {
            self.no_visitor_options()?;
            return Ok(None);
        }
        let urls = self.verify_urls()?;
        let verify = wants_verify || !urls.is_empty();
        let verify = verify.then(|| -> Result<VerifyJob, Failure> {
            let (expected, expected_of_all) = match &global.expect {
                Some(path) => read_expected(path, purged.is_some_and(|purged| purged + urls.len() == 1))?,
                None => Default::default(),
            };
            Ok(VerifyJob {
                sample: match global.verify {
                    Some(VerifyArg::All) => None,
                    Some(VerifyArg::AtMost(most)) => Some(most),
                    Some(VerifyArg::Transition) | None => Some(SAMPLE),
                },
                transition: global.verify == Some(VerifyArg::Transition),
                timeout: Duration::from_secs_f64(global.verify_timeout.unwrap_or(30.0)),
                limits: self.visitor_limits(Limits::PROBE),
                expected,
                expected_of_all,
                expects_files,
                urls,
            })
        });
        let warm = global.warm.then(|| WarmJob {
            limits: self.visitor_limits(Limits::WARM),
            variants: variants(&global.warm_as),
            certify,
        });
        Ok(Some(Visits { visitor: self.visitor()?, gate, verify: verify.transpose()?, warm }))
    }

    fn gate(&self) -> Result<Option<GateJob>, Failure> {
        let global = self.global;
        let Some(text) = &global.after else {
            for (option, is_given) in [
                ("--after-timeout", global.after_timeout.is_some()),
                ("--after-no-bust", global.after_no_bust),
            ] {
                if is_given {
                    return Err(Failure::usage(format!("`{option}` needs `--after`")));
                }
            }
            return Ok(None);
        };
        let timeout = global.after_timeout.map(Duration::from_secs_f64);
        parse_gate(text, timeout, !global.after_no_bust).map(Some)
    }

    /// The URLs of `--verify-url` and `--verify-from`.
    fn verify_urls(&self) -> Result<UrlList, Failure> {
        let global = self.global;
        let mut urls = UrlList::new();
        for url in &global.verify_url {
            urls.push(&parse_url(url, "`--verify-url`")?);
        }
        for path in &global.verify_from {
            read_urls(path, &mut |url| urls.push(&url))?;
        }
        Ok(urls)
    }

    pub(super) fn probe(&self, input: InputArgs, pages: PagesArgs) -> Result<Task, Failure> {
        if self.global.common.dry_run {
            return Err(only_reads());
        }
        let global = self.global;
        for (option, is_given) in
            [("--warm-as", !global.warm_as.is_empty()), ("--warm-certify", global.warm_certify)]
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
        let (visitor, limits, global) = (self.visitor()?, self.limits(Limits::WARM), self.global);
        let variants = variants(&global.warm_as);
        Ok(if global.common.dry_run {
            Task::WarmDryRun(targets, variants)
        } else {
            Task::Warm(targets, visitor, WarmJob { limits, variants, certify: global.warm_certify })
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
            ("--verify", self.global.verify.is_some()),
            ("--verify-url", !self.global.verify_url.is_empty()),
            ("--verify-from", !self.global.verify_from.is_empty()),
            ("--verify-timeout", self.global.verify_timeout.is_some()),
            ("--expect", self.global.expect.is_some()),
            ("--after", self.global.after.is_some()),
            ("--after-timeout", self.global.after_timeout.is_some()),
            ("--after-no-bust", self.global.after_no_bust),
            ("--warm", self.global.warm),
        ] {
            if is_given {
                return Err(Failure::usage(format!(
                    "`{option}` is for purges; this command only requests URLs"
                )));
            }
        }
        let targets = targets(None, Kind::Files, input, pages, Vec::new(), self.global)?;
        self.check_stdin(targets.files.iter().chain(&targets.sitemaps))?;
        Ok(targets)
    }

    /// The limits for one host during a purge, where `--concurrency` and `--no-rate-limit` apply to the API.
    fn visitor_limits(&self, usual: Limits) -> Limits {
        Limits::new(usual.at_once, self.global.visitor_rate.or(usual.per_second))
    }

    /// The limits for one host: the defaults, changed by options.
    fn limits(&self, usual: Limits) -> Limits {
        let at_once = self.global.concurrency.unwrap_or(usual.at_once);
        let per_second = match self.global.visitor_rate {
            Some(rate) => Some(rate),
            None if self.global.no_rate_limit => None,
            None => usual.per_second,
        };
        Limits::new(at_once, per_second)
    }

    fn visitor(&self) -> Result<VisitorBuilder, Failure> {
        let global = self.global;
        let timeout = global.timeout.map(Duration::from_secs_f64);
        let (connect_to, headers) = (global.verify_connect.as_deref(), global.visitor_headers.as_deref());
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

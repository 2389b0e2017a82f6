//! Runs a job and returns an exit code.

mod config;
mod emulator;
mod generate;
mod interrupts;
#[cfg(test)]
mod reference;
#[cfg(test)]
pub(crate) mod schema;

use core::pin::Pin;

use cfcache_app::job::{Job, Targets, WarmJob};
use cfcache_app::manage::ManageJob;
use cfcache_app::{manage, purge, visiting};
use cfcache_model::Plan;
use cfcache_probe::{Limits, VisitorBuilder};

use crate::args::EmulatorArgs;
pub(crate) use crate::command::generate::Shell;
pub(crate) use crate::command::interrupts::Interrupts;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::{self, Terminal, outcome};
use crate::resolve::Task;

/// Does a job.
pub(crate) fn execute(job: Task, terminal: &Terminal) -> Exit {
    if let Err(failure) = check_descriptors() {
        return terminal.failure(&failure);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = Failure::new(Exit::Unreachable, format!("cannot start: {error}"));
            return terminal.failure(&failure);
        }
    };
    let exit = runtime.block_on(async {
        let interrupts = interrupts::listen();
        let result = match job {
            Task::Purge(job) => purge(job, terminal, &interrupts).await,
            Task::PurgeDryRun(job) => purge::dry_run(job, terminal),
            Task::Probe(targets, visitor, limits) => {
                probe(targets, visitor, limits, terminal, &interrupts).await
            }
            Task::Warm(targets, visitor, job) => warm(targets, visitor, job, terminal, &interrupts).await,
            Task::WarmDryRun(targets, variants) => visiting::warm_dry_run(targets, &variants, terminal),
            Task::Emulator { args, plan, has_limits } => {
                emulator(args, plan, has_limits, terminal, &interrupts).await
            }
            Task::ShowConfig(settings) => Ok(config::show(&settings, terminal)),
            Task::ConfigPath(path) => config::path(path.as_deref(), terminal),
            Task::Completions(shell) => Ok(generate::completions(shell, terminal)),
            Task::Man(folder) => generate::man(folder.as_deref(), terminal),
            Task::Manage(job) => manage(job, terminal, &interrupts).await,
            Task::ManageDryRun(job) => manage::dry_run(&job, terminal),
        };
        result.unwrap_or_else(|failure| terminal.failure(&failure))
    });
    // A thread that reads a pipe may be blocked forever; the process ends without it.
    runtime.shutdown_background();
    terminal.settle(exit)
}

/// A running job. It is on the heap and created by a function of its own, because entering a function touches each page of
/// its frame, and the frame of a function that creates all of them would be 45 kB.
type Running<'a> = Pin<Box<dyn Future<Output = Result<Exit, Failure>> + 'a>>;

#[inline(never)]
fn purge<'a>(job: Job, terminal: &'a Terminal, interrupts: &'a Interrupts) -> Running<'a> {
    Box::pin(async move {
        let report = purge::run(job, terminal, interrupts).await?;
        outcome::print(&report, terminal);
        Ok(report.exit)
    })
}

#[inline(never)]
fn probe<'a>(
    targets: Targets,
    visitor: VisitorBuilder,
    limits: Limits,
    terminal: &'a Terminal,
    interrupts: &'a Interrupts,
) -> Running<'a> {
    Box::pin(async move {
        let report = visiting::probe(targets, visitor, limits, terminal, interrupts).await?;
        Ok(render::probe::print(&report, terminal))
    })
}

#[inline(never)]
fn warm<'a>(
    targets: Targets,
    visitor: VisitorBuilder,
    job: WarmJob,
    terminal: &'a Terminal,
    interrupts: &'a Interrupts,
) -> Running<'a> {
    Box::pin(async move {
        let report = visiting::warm(targets, visitor, job, terminal, interrupts).await?;
        Ok(render::visits::print_warmed(&report, terminal))
    })
}

#[inline(never)]
fn emulator<'a>(
    args: EmulatorArgs,
    plan: Plan,
    has_limits: bool,
    terminal: &'a Terminal,
    interrupts: &'a Interrupts,
) -> Running<'a> {
    Box::pin(emulator::serve(args, plan, has_limits, terminal, interrupts))
}

#[inline(never)]
fn manage<'a>(job: ManageJob, terminal: &'a Terminal, interrupts: &'a Interrupts) -> Running<'a> {
    Box::pin(async move {
        let report = manage::run(job, terminal, interrupts).await?;
        Ok(render::manage::print(&report, terminal))
    })
}

/// Checks that files and connections can be opened, because the signal listener panics if it cannot open its own.
fn check_descriptors() -> Result<(), Failure> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        /// The number of descriptors that the runtime, the emulator's listener and a few connections need. With fewer, requests
        /// would be retried for minutes.
        const DESCRIPTORS: usize = 16;
        let stderr = std::io::stderr();
        let taken: Result<Vec<_>, _> =
            (0..DESCRIPTORS).map(|_| stderr.as_fd().try_clone_to_owned()).collect();
        if let Err(error) = taken {
            return Err(Failure::new(Exit::Unreachable, format!("cannot start: {error}"))
                .with_hint("allow more open files (`ulimit -n 256`)"));
        }
    }
    Ok(())
}

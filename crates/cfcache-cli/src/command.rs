//! Does a task and returns an exit code.

mod config;
mod emulator;
mod generate;
mod interrupts;
#[cfg(test)]
mod reference;
#[cfg(test)]
pub(crate) mod schema;

use core::pin::Pin;

use cfcache_app::{manage, purge, visiting};

pub(crate) use crate::command::generate::Shell;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::{self, Terminal, outcome};
use crate::resolve::Task;

/// Does a task.
pub(crate) fn execute(task: Task, terminal: &Terminal) -> Exit {
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
        interrupts::listen(&terminal.interrupts);
        let result = match task {
            Task::Purge(job) => {
                start(move || async move {
                    let report = purge::run(job, terminal).await?;
                    outcome::print(&report, terminal);
                    Ok(report.exit)
                })
                .await
            }
            Task::PurgeDryRun(job) => purge::dry_run(job, terminal),
            Task::Probe(targets, visitor, limits) => {
                start(move || async move {
                    let report = visiting::probe(targets, visitor, limits, terminal).await?;
                    Ok(render::probe::print(&report, terminal))
                })
                .await
            }
            Task::Warm(targets, visitor, job) => {
                start(move || async move {
                    let report = visiting::warm(targets, visitor, job, terminal).await?;
                    Ok(render::visits::print_warmed(&report, terminal))
                })
                .await
            }
            Task::WarmDryRun(targets, variants) => visiting::warm_dry_run(targets, &variants, terminal),
            Task::Emulator { args, plan, has_limits } => {
                start(move || emulator::serve(args, plan, has_limits, terminal)).await
            }
            Task::ShowConfig(settings) => Ok(config::show(&settings, terminal)),
            Task::ConfigPath(path) => config::path(path.as_deref(), terminal),
            Task::Completions(shell) => Ok(generate::completions(shell, terminal)),
            Task::Man(folder) => generate::man(folder.as_deref(), terminal),
            Task::Manage(job) => {
                start(move || async move {
                    let report = manage::run(job, terminal).await?;
                    Ok(render::manage::print(&report, terminal))
                })
                .await
            }
            Task::ManageDryRun(job) => manage::dry_run(&job, terminal),
        };
        result.unwrap_or_else(|failure| terminal.failure(&failure))
    });
    // A thread that reads a pipe may be blocked forever; the process ends without it.
    runtime.shutdown_background();
    terminal.settle(exit)
}

/// A running job.
type Running<'a> = Pin<Box<dyn Future<Output = Result<Exit, Failure>> + 'a>>;

/// Creates the future of a job, on the heap and in a frame of its own: entering a function touches each page of its frame,
/// and the frame of a function that creates the futures of all jobs would be 45 kB.
#[inline(never)]
fn start<'a, F>(create: impl FnOnce() -> F) -> Running<'a>
where
    F: Future<Output = Result<Exit, Failure>> + 'a,
{
    Box::pin(create())
}

/// Checks that files and connections can be opened, because the signal listener panics if it cannot open its own.
fn check_descriptors() -> Result<(), Failure> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        /// The number of descriptors that the runtime, the emulator's listener and a few connections need. With fewer,
        /// requests would be retried for minutes.
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

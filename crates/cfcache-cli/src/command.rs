//! The commands: a job in, an exit code out.

mod config;
mod emulator;
mod environments;
mod generate;
mod pages;
mod purge;
#[cfg(test)]
mod reference;
mod regions;
mod reserve;
#[cfg(test)]
pub(crate) mod schema;
mod scope;
mod setting;
mod settings;
mod token;
mod variants;
mod zones;

use tokio::sync::watch;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::Talk;
use crate::resolve::Job;

/// Does a job.
pub(crate) fn execute(job: Job, talk: &Talk) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = Failure::new(Exit::Unreachable, format!("cannot start: {error}"));
            return talk.failure(&failure);
        }
    };
    let exit = runtime.block_on(async {
        let interrupts = Interrupts::listen();
        let result = match job {
            Job::Everything(job) if job.dry_run => purge::dry_run::everything(&job, talk),
            Job::Everything(job) => purge::everything::run(job, talk, &interrupts).await,
            Job::List(job) if job.dry_run => purge::dry_run::list(job, talk),
            Job::List(job) => purge::bulk::run(job, talk, &interrupts).await,
            Job::Route(job) if job.dry_run => purge::routed::dry_run(job, talk),
            Job::Route(job) => purge::routed::run(job, talk, &interrupts).await,
            Job::Emulator(args, plan, limits) => emulator::serve(args, plan, limits, talk, &interrupts).await,
            Job::ShowConfig(settings) => Ok(config::show(&settings, talk)),
            Job::ConfigPath(path) => config::path(path.as_deref(), talk),
            Job::Completions(shell) => Ok(generate::completions(shell, talk)),
            Job::Man(folder) => generate::man(folder.as_deref(), talk),
            Job::Setting(job) if job.dry_run => setting::dry_run(&job, talk),
            Job::Setting(job) => setting::execute(job, talk, &interrupts).await,
            Job::ListEnvironments(connection, zone) => {
                interrupts.end(environments::list(connection, zone, talk)).await
            }
            Job::VerifyToken(connection, account) => {
                interrupts.end(token::verify(connection, account, talk)).await
            }
            Job::ListZones(connection) => interrupts.end(zones::list(connection, talk)).await,
        };
        result.unwrap_or_else(|failure| talk.failure(&failure))
    });
    // A thread that reads a pipe may never come back; the process ends without it.
    runtime.shutdown_background();
    talk.settle(exit)
}

/// Counts Ctrl-C and requests to end.
pub(crate) struct Interrupts {
    count: watch::Receiver<u8>,
}

impl Interrupts {
    fn listen() -> Self {
        let (sender, count) = watch::channel(0_u8);
        tokio::spawn(async move {
            let mut terminate = Terminate::new();
            loop {
                tokio::select! {
                    pressed = tokio::signal::ctrl_c() => if pressed.is_err() { return },
                    () = terminate.recv() => {}
                }
                sender.send_modify(|count| *count = count.saturating_add(1));
            }
        });
        Self { count }
    }

    /// A command that ends by itself, and that the first of them may end at any moment.
    async fn end(&self, command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
        tokio::select! {
            result = command => result,
            () = self.nth(1) => Err(Failure::new(Exit::Interrupted, "interrupted")),
        }
    }

    /// Waits for the `nth` of them, counted from 1.
    pub(crate) async fn nth(&self, nth: u8) {
        let mut count = self.count.clone();
        if count.wait_for(|count| *count >= nth).await.is_err() {
            core::future::pending::<()>().await;
        }
    }
}

/// SIGTERM, where there is such a thing.
struct Terminate {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Terminate {
    fn new() -> Self {
        Self {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok(),
        }
    }

    async fn recv(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        core::future::pending::<()>().await;
    }
}

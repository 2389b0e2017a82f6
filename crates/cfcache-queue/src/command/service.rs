//! The services: intake, worker and admin listener. They run until they are told to stop.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cfcache_app::config::EnvVars;
use cfcache_app::console::Console;
use cfcache_app::exit::Exit;
use cfcache_app::failure::Failure;
use cfcache_app::secret::shown;
use cfcache_queue::admin::Admin;
use cfcache_queue::config::ConfigFile;
use cfcache_queue::health::Health;
use cfcache_queue::intake::Intake;
use cfcache_queue::intake::sources::IntakeSources;
use cfcache_queue::metrics::Metrics;
use cfcache_queue::server::Listener;
use cfcache_queue::{IDLE_TIMEOUT, Store, Worker};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::info;

use crate::args::{ConfigArgs, IntakeArgs, WorkerArgs};
use crate::command::{QueuePlace, accounts, interrupts, seconds};
use crate::console::Terminal;

/// The environment variable with the address of the intake.
const LISTEN: &str = "CFCACHE_QUEUE_LISTEN";
const DEFAULT_LISTEN: &str = "127.0.0.1:8789";

/// How long a stopping process still accepts requests, so that load balancers notice that it is not ready.
const STOP_NOTICE: Duration = Duration::from_secs(5);

/// The number of connections for the intake, the admin listener and the budgets, in addition to one per claim.
const EXTRA_CONNECTIONS: usize = 8;

/// The parts that run in this process.
pub(super) struct ServiceParts {
    intake: Option<Option<SocketAddr>>,
    worker: Option<WorkerArgs>,
    admin_listen: Option<SocketAddr>,
}

impl ServiceParts {
    pub(super) fn serve(intake: IntakeArgs, worker: WorkerArgs) -> Self {
        Self { intake: Some(intake.listen), worker: Some(worker), admin_listen: Some(intake.admin_listen) }
    }

    pub(super) fn intake(intake: IntakeArgs) -> Self {
        Self { intake: Some(intake.listen), worker: None, admin_listen: Some(intake.admin_listen) }
    }

    pub(super) fn worker(worker: WorkerArgs, admin_listen: Option<SocketAddr>) -> Self {
        Self { intake: None, worker: Some(worker), admin_listen }
    }
}

pub(super) fn run(
    parts: ServiceParts,
    config: ConfigArgs,
    place: &QueuePlace,
    environment: &EnvVars,
    runtime: &Runtime,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let path = config.config.as_deref();
    let file = path.map(ConfigFile::read).transpose()?.unwrap_or_default();
    let concurrency = parts.worker.as_ref().map_or(0, |worker| worker.concurrency.max(1));
    let idle_timeout = match &parts.worker {
        Some(worker) => seconds(worker.claim_timeout, "--claim-timeout")?,
        None => IDLE_TIMEOUT,
    };
    runtime.block_on(async {
        interrupts::listen(&terminal.interrupts);
        let console: &dyn Console = terminal;
        let store = tokio::select! {
            store = place.wait(concurrency + EXTRA_CONNECTIONS, idle_timeout) => store?,
            () = console.interrupted(1) => return Ok(Exit::Accepted),
        };
        let (file, place) = ((file, path), (place, store));
        serve(parts, file, place, environment, terminal).await
    })
}

async fn serve(
    parts: ServiceParts,
    (file, path): (ConfigFile, Option<&Path>),
    (place, store): (&QueuePlace, Arc<dyn Store>),
    environment: &EnvVars,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let (metrics, health) = (Arc::new(Metrics::new()), Arc::new(Health::default()));
    let (stop_worker, worker_stopped) = watch::channel(false);
    let (stop_intake, intake_stopped) = watch::channel(false);
    let (mut working, mut listening) = (JoinSet::new(), JoinSet::new());
    let mut opened = None;
    // Every setting is checked before anything starts.
    if let Some(args) = &parts.worker {
        opened = Some(accounts::open(args, &file, path, environment, terminal).await?);
    }
    if let Some(address) = parts.intake {
        let sources = if file.sources.is_empty() {
            IntakeSources::local()?
        } else {
            IntakeSources::open(&file.sources)?
        };
        let intake = Arc::new(Intake::new(sources, Arc::clone(&store), Arc::clone(&metrics)));
        let listeners = intake.listen(listen_address(address, environment)?).await?;
        if let Some(address) = listeners.address() {
            terminal.data(&format!("listening on http://{address}{}", cfcache_queue::intake::PATH));
        }
        listening.spawn(intake.serve(listeners, intake_stopped.clone()));
    }
    if let Some(address) = parts.admin_listen {
        let admin =
            Admin::new(Arc::clone(&store), Arc::clone(&metrics), Arc::clone(&health), place.describe());
        let cannot_listen = |error: std::io::Error| {
            Failure::new(Exit::Unreachable, format!("cannot listen on {address}: {error}"))
        };
        let listener = Listener::tcp(address).await.map_err(cannot_listen)?;
        if let Some(address) = listener.local_addr().map_err(cannot_listen)? {
            terminal.data(&format!("status on http://{address}/"));
        }
        listening.spawn(Arc::new(admin).serve(listener, intake_stopped.clone()));
    }
    let mut sessions = None;
    if let (Some(args), Some(accounts::Opened { accounts, sessions: open })) = (&parts.worker, opened) {
        sessions = Some(open);
        let worker = Worker::new(
            Arc::clone(&store),
            accounts,
            Arc::clone(&metrics),
            Arc::clone(&health),
            args.concurrency,
        );
        // A claim survives several lost renewals.
        let worker = worker.with_keep_interval(seconds(args.claim_timeout, "--claim-timeout")? / 4);
        working.spawn(Arc::new(worker).run(worker_stopped.clone()));
        info!(concurrency = args.concurrency, "the worker has started");
    }

    let console: &dyn Console = terminal;
    console.interrupted(1).await;
    health.stop();
    info!("stopping: requests in flight are finished first; a second signal stops at once");
    let ending = async {
        stop_worker.send_replace(true);
        if parts.intake.is_some() {
            tokio::time::sleep(STOP_NOTICE).await;
        }
        while working.join_next().await.is_some() {}
        stop_intake.send_replace(true);
        while listening.join_next().await.is_some() {}
    };
    tokio::select! {
        () = ending => {
            for session in sessions.into_iter().flatten() {
                session.close().await;
            }
            info!("stopped");
            Ok(Exit::Accepted)
        }
        () = console.interrupted(2) => {
            info!("stopped at once: requests in flight will be sent again");
            Ok(Exit::Interrupted)
        }
    }
}

fn listen_address(option: Option<SocketAddr>, environment: &EnvVars) -> Result<SocketAddr, Failure> {
    if let Some(address) = option {
        return Ok(address);
    }
    let text = environment.other(LISTEN).unwrap_or_else(|| DEFAULT_LISTEN.to_owned());
    text.parse().map_err(|_| {
        Failure::usage(format!(
            "`{LISTEN}` is {}, which is not an address such as {DEFAULT_LISTEN}",
            shown(&text)
        ))
    })
}

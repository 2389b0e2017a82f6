//! Connections to the server, and a pool of them.

use std::fmt;
use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_core::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, NoTls, Row};

use crate::store::StoreError;
use crate::store::postgres::tls::PostgresTls;
use crate::store::postgres::{describe, failed};

/// The longest time to connect, and to wait for a free connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest time for a statement. Removing a million rows takes seconds.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(120);

/// The URL of a database: `postgres://user:password@host:port/database?sslmode=…`.
///
/// - `sslmode` has the same meaning as in PostgreSQL's own programs: `disable`, `prefer` (the default) and `require`
///   decide about encryption, and only `verify-full` checks the server's certificate; `verify-ca` is treated as
///   `verify-full`.
/// - `sslrootcert` names a PEM file of trusted certificates; `system`, which is the default, means those of this
///   machine. As in PostgreSQL's own programs, a file makes `require` check the certificate too.
/// - `Debug` shows no password.
#[derive(Clone)]
pub struct PostgresUrl {
    config: Config,
    tls: Option<PostgresTls>,
}

/// Why a text is not the URL of a database. The error never shows the URL, because it may contain a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPostgresUrl {
    /// It is not a URL of this form.
    #[error(
        "it is not a URL such as postgres://user:password@host:5432/database; in a password, `@`, `:`, `/`, `?`, `#` and `%` \
         are written as %40, %3A, %2F, %3F, %23 and %25"
    )]
    Form,
    /// A parameter is unknown, or its value is invalid.
    #[error(
        "what follows `?` must be parameters of PostgreSQL with valid values, such as connect_timeout=5; parameters of \
         other programs, such as schema=public, must be removed"
    )]
    Parameters,
    /// Its `sslmode` is unknown.
    #[error("its `sslmode` must be disable, prefer, require, verify-ca or verify-full")]
    SslMode,
}

impl PostgresUrl {
    /// Parses a URL.
    ///
    /// # Errors
    ///
    /// [`InvalidPostgresUrl`] if it is invalid.
    pub fn parse(url: &str) -> Result<Self, InvalidPostgresUrl> {
        let is_url = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
        if !is_url {
            return Err(InvalidPostgresUrl::Form);
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        // The text after a second `@` may be a part of the password. It would be parsed as the host and shown.
        if base.matches('@').count() > 1 {
            return Err(InvalidPostgresUrl::Form);
        }
        let (mut mode, mut authorities, mut rest) = ("prefer", None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = value,
                Some(("sslrootcert", "system")) => {}
                Some(("sslrootcert", path)) => authorities = Some(PathBuf::from(path.replace("%2F", "/"))),
                _ => rest.push(pair),
            }
        }
        let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        let mut config: Config = url.parse().map_err(|_| {
            // A `?` may also be a part of the password, so the parameter is not shown.
            let are_parameters = base.parse::<Config>().is_ok() && !query.contains('@');
            if are_parameters { InvalidPostgresUrl::Parameters } else { InvalidPostgresUrl::Form }
        })?;
        let (ssl_mode, is_verified) = match mode {
            "disable" => (SslMode::Disable, false),
            "allow" | "prefer" => (SslMode::Prefer, authorities.is_some()),
            "require" => (SslMode::Require, authorities.is_some()),
            "verify-ca" | "verify-full" => (SslMode::Require, true),
            _ => return Err(InvalidPostgresUrl::SslMode),
        };
        config.ssl_mode(ssl_mode);
        if config.get_hosts().is_empty() {
            return Err(InvalidPostgresUrl::Form);
        }
        if config.get_application_name().is_none() {
            config.application_name("cfcache-queue");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(Duration::from_secs(30));
        }
        config.keepalives_idle(Duration::from_secs(30));
        let tls = (ssl_mode != SslMode::Disable).then_some(PostgresTls { is_verified, authorities });
        Ok(Self { config, tls })
    }

    /// Returns whether the URL contains a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }

    /// Sets the password.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        self.config.password(password);
        self
    }

    /// Returns the hosts and the database, for messages.
    fn server(&self) -> String {
        let ports = self.config.get_ports();
        let hosts = self.config.get_hosts().iter().enumerate().map(|(index, host)| {
            let port = ports.get(index).or_else(|| ports.first()).copied().unwrap_or(5432);
            match host {
                Host::Tcp(name) => format!("{name}:{port}"),
                #[cfg(unix)]
                Host::Unix(path) => format!("{}:{port}", path.display()),
            }
        });
        let hosts: Vec<String> = hosts.collect();
        hosts.join(",")
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresUrl").field("server", &self.server()).finish_non_exhaustive()
    }
}

/// A pool of connections.
///
/// Pools of other crates mainly prepare statements once, check connections with a statement and reset settings. This
/// store uses none of these.
pub(super) struct PostgresPool {
    url: PostgresUrl,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Idle>>>,
}

struct Idle {
    client: Client,
    is_asynchronous: bool,
}

/// A connection in use. Dropping it closes it, which rolls back an open transaction. [`put_back`](Self::put_back)
/// returns it to the pool.
pub(super) struct PostgresConnection {
    pub(super) client: Client,
    /// Whether the server's default is to confirm a commit before it is on disk.
    pub(super) is_asynchronous: bool,
    idle: Arc<Mutex<Vec<Idle>>>,
    _permit: OwnedSemaphorePermit,
}

impl PostgresPool {
    pub(super) fn new(url: PostgresUrl, max_connections: usize) -> Self {
        Self { url, permits: Arc::new(Semaphore::new(max_connections)), idle: Arc::default() }
    }

    pub(super) fn server(&self) -> String {
        self.url.server()
    }

    /// Returns an idle connection, or a new one.
    pub(super) async fn get(&self, doing: &'static str) -> Result<PostgresConnection, StoreError> {
        let permit = timeout(CONNECT_TIMEOUT, Arc::clone(&self.permits).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            return Err(StoreError::new(doing, "all connections to the database are in use"));
        };
        let connection = |idle: Idle, permit| PostgresConnection {
            client: idle.client,
            is_asynchronous: idle.is_asynchronous,
            idle: Arc::clone(&self.idle),
            _permit: permit,
        };
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match idle {
                Some(idle) if idle.client.is_closed() => {}
                Some(idle) => return Ok(connection(idle, permit)),
                None => break,
            }
        }
        let idle = self.connect().await.map_err(|message| StoreError::new(doing, message))?;
        Ok(connection(idle, permit))
    }

    async fn connect(&self) -> Result<Idle, String> {
        let url = &self.url;
        let tls = url.tls.as_ref().map(PostgresTls::connector).transpose()?;
        let refused = |error: tokio_postgres::Error| format!("{}: {}", url.server(), describe(&error));
        let connecting = async {
            match tls {
                Some(tls) => {
                    let (client, connection) = url.config.connect(tls).await.map_err(refused)?;
                    // Errors of the connection are reported by the client.
                    tokio::spawn(async move { drop(connection.await) });
                    Ok::<_, String>(client)
                }
                None => {
                    let (client, connection) = url.config.connect(NoTls).await.map_err(refused)?;
                    tokio::spawn(async move { drop(connection.await) });
                    Ok(client)
                }
            }
        };
        let late = || format!("{}: no connection within {} s", url.server(), CONNECT_TIMEOUT.as_secs());
        let client = timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_| late())??;
        let sql = "SELECT current_setting('synchronous_commit') = 'off'";
        let row = timeout(CONNECT_TIMEOUT, client.query_typed_one(sql, &[]));
        let row = row.await.map_err(|_| late())?.map_err(refused)?;
        Ok(Idle { client, is_asynchronous: row.try_get(0).map_err(refused)? })
    }
}

impl PostgresConnection {
    /// Returns the connection to the pool. It must have no open transaction.
    pub(super) fn put_back(self) {
        let idle = Idle { client: self.client, is_asynchronous: self.is_asynchronous };
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(idle);
    }

    /// Runs statements without parameters.
    pub(super) async fn batch(&self, sql: &str, doing: &'static str) -> Result<(), StoreError> {
        in_time(doing, self.client.batch_execute(sql)).await
    }

    /// Returns the rows of a statement. The statement is parsed each time, as required by PgBouncer's transaction mode.
    pub(super) async fn query(
        &self,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
        doing: &'static str,
    ) -> Result<Vec<Row>, StoreError> {
        in_time(doing, self.client.query_typed(sql, parameters)).await
    }

    /// Runs a statement, and returns the number of affected rows.
    pub(super) async fn execute(
        &self,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
        doing: &'static str,
    ) -> Result<u64, StoreError> {
        in_time(doing, self.client.execute_typed(sql, parameters)).await
    }

    /// Calls a function for each row of a statement, as it arrives.
    pub(super) async fn for_each(
        &self,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
        doing: &'static str,
        mut take: impl FnMut(Row),
    ) -> Result<(), StoreError> {
        in_time(doing, async {
            let parameters = parameters.iter().map(|(value, kind)| (*value, kind.clone()));
            let mut rows = pin!(self.client.query_typed_raw(sql, parameters).await?);
            while let Some(row) = poll_fn(|context| rows.as_mut().poll_next(context)).await {
                take(row?);
            }
            Ok(())
        })
        .await
    }

    /// Commits the transaction.
    pub(super) async fn commit(&self, doing: &'static str) -> Result<(), StoreError> {
        self.batch("COMMIT", doing).await
    }
}

async fn in_time<T>(
    doing: &'static str,
    statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, StoreError> {
    match timeout(STATEMENT_TIMEOUT, statement).await {
        Ok(result) => result.map_err(|error| failed(doing, &error)),
        Err(_) => {
            let message = format!("the database did not answer within {} s", STATEMENT_TIMEOUT.as_secs());
            Err(StoreError::new(doing, message))
        }
    }
}

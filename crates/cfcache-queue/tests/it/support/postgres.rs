//! PostgreSQL for tests: a cluster in a temporary folder, and a database for each test.

use std::ffi::OsString;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use cfcache_queue::{PostgresStore, PostgresUrl};
use tokio_postgres::{Client, NoTls};

/// The password of the user `postgres`, which no output may contain.
pub(crate) const PASSWORD: &str = "p4ssw0rd-of-the-tests";

/// A running cluster. When the process ends in any way, the cluster is stopped and its folder removed.
pub(crate) struct Cluster {
    bin: PathBuf,
    folder: PathBuf,
    pub(crate) port: u16,
    databases: AtomicU32,
    /// A shell that cleans up when its standard input is closed.
    keeper: Mutex<Option<Child>>,
}

/// A database on a cluster, with the schema of the queue unless it was created without.
pub(crate) struct Database {
    pub(crate) cluster: &'static Cluster,
    pub(crate) name: String,
    /// The port to use instead of the cluster's own.
    pub(crate) port: Option<u16>,
}

/// Returns the cluster that all tests of this process share. Without PostgreSQL, prints a message and returns `None`.
pub(crate) fn shared() -> Option<&'static Cluster> {
    static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
    SHARED.get_or_init(Cluster::start).as_ref()
}

/// Creates a database with the schema of the queue.
pub(crate) async fn database() -> Option<Database> {
    let database = empty_database().await?;
    database.store().migrate().await.unwrap();
    Some(database)
}

/// Creates an empty database.
pub(crate) async fn empty_database() -> Option<Database> {
    Some(shared()?.database().await)
}

/// Finds a program that developers may lack. Returns its path; without it, prints a message and returns `None`. In CI
/// it is required.
#[expect(
    clippy::disallowed_methods,
    reason = "the environment says where programs are and whether they are required"
)]
pub(crate) fn program(name: &str, package: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = folders
        .iter()
        .cloned()
        .chain(std::env::split_paths(&path))
        .find(|folder| folder.join(name).is_file());
    if let Some(folder) = found {
        return Some(folder.join(name));
    }
    let is_required = std::env::var("CFCACHE_REQUIRE_POSTGRES").is_ok_and(|value| value == "1");
    let message = format!("`{name}` was not found (Debian: apt-get install {package})");
    assert!(!is_required, "{message}, but CFCACHE_REQUIRE_POSTGRES=1 requires it");
    // The capture of the test harness would hide the message.
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test").to_owned();
    std::io::stderr().write_all(format!("skipped {test}: {message}\n").as_bytes()).unwrap();
    None
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Cluster {
    /// Creates and starts a cluster. Returns `None` without PostgreSQL.
    pub(crate) fn start() -> Option<Self> {
        // Debian installs the server's programs outside of `PATH`, in a folder for each version.
        let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
            .unwrap_or_default();
        versions.sort();
        versions.reverse();
        let bin = program("initdb", "postgresql", &versions)?.parent()?.to_owned();
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("cfcache-queue-{}-{number}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&folder));
        }
        let password = folder.join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&password));
        }
        let mut cluster =
            Self { bin, folder, port: free_port(), databases: AtomicU32::new(0), keeper: Mutex::new(None) };
        let data = cluster.data();
        let mut initdb: Vec<OsString> = [
            "-A",
            "scram-sha-256",
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "--pwfile",
        ]
        .map(OsString::from)
        .into();
        initdb.extend([password.into(), "-D".into(), data.clone().into()]);
        run(&mut cluster.command("initdb", &initdb));
        cluster.write_certificate();
        let folder = cluster.folder.display();
        // The tests crash the server's processes but not the machine, so fsync is not needed.
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{folder}'\nfsync = off\n\
             max_connections = 200\nssl = on\nshared_buffers = 64MB\ntrack_commit_timestamp = on\n",
            cluster.port
        );
        let path = data.join("postgresql.conf");
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str(&settings);
        std::fs::write(&path, text).unwrap();
        cluster.start_keeper();
        cluster.pg_ctl(&["-w", "start"]);
        Some(cluster)
    }

    /// Gives the server a self-signed certificate for 127.0.0.1.
    fn write_certificate(&self) {
        let certified = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let (certificate, key) = (self.data().join("server.crt"), self.data().join("server.key"));
        std::fs::write(&certificate, certified.cert.pem()).unwrap();
        std::fs::write(self.certificate(), certified.cert.pem()).unwrap();
        std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
        run(Command::new("chmod").arg("600").arg(&key));
        if is_root() {
            run(Command::new("chown").arg("postgres").args([&certificate, &key]));
        }
    }

    /// Returns the file of the server's certificate, which every user may read.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Returns the folder with the server's socket and log.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns a command that runs a program of the server as the server's user.
    fn command(&self, program: &str, arguments: &[OsString]) -> Command {
        let path = self.bin.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    /// Runs `pg_ctl`, with its output in a file.
    pub(crate) fn pg_ctl(&self, arguments: &[&str]) {
        let mut all: Vec<OsString> = vec!["-D".into(), self.data().into()];
        all.extend(["-s".into(), "-l".into(), self.folder.join("log").into()]);
        all.extend(arguments.iter().map(OsString::from));
        // A pipe would stay open, because the server inherits it.
        let status =
            self.command("pg_ctl", &all).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        assert!(status.success(), "pg_ctl {arguments:?}: {status}\n{}", log());
    }

    /// Starts the shell that cleans up.
    fn start_keeper(&mut self) {
        let script = "read -r _; \"$@\"; rm -rf \"$0\"";
        let stop = self.command(
            "pg_ctl",
            &["-D".into(), self.data().into(), "-s".into(), "-m".into(), "immediate".into(), "stop".into()],
        );
        let mut keeper = Command::new("sh");
        keeper.args(["-c", script]).arg(&self.folder).arg(stop.get_program()).args(stop.get_args());
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
        *self.keeper.lock().unwrap() = Some(keeper.spawn().unwrap());
    }

    /// Creates an empty database.
    pub(crate) async fn database(&'static self) -> Database {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let client = connect(&self.url("postgres")).await;
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        Database { cluster: self, name, port: None }
    }

    /// Returns the URL of a database, with the password.
    pub(crate) fn url(&self, database: &str) -> String {
        self.url_at(self.port, "postgres", database)
    }

    /// Returns the URL for another port and user. All users have the same password.
    pub(crate) fn url_at(&self, port: u16, user: &str, database: &str) -> String {
        format!("postgres://{user}:{PASSWORD}@127.0.0.1:{port}/{database}?sslmode=disable")
    }
}

impl Cluster {
    /// Stops the cluster immediately, and removes its folder.
    pub(crate) fn stop(&self) {
        if let Some(mut keeper) = self.keeper.lock().unwrap().take() {
            drop(keeper.stdin.take());
            keeper.wait().unwrap();
        }
    }
}

/// PgBouncer in transaction mode: ten connections to the cluster for any number of clients. Dropping it stops it.
pub(crate) struct Bouncer {
    child: Child,
    pub(crate) port: u16,
}

impl Bouncer {
    /// Starts PgBouncer. If it is not installed, prints a message and returns `None`.
    pub(crate) fn start(cluster: &Cluster) -> Option<Self> {
        let path = program("pgbouncer", "pgbouncer", &[PathBuf::from("/usr/sbin")])?;
        let (port, folder) = (free_port(), cluster.folder());
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=postgres password={PASSWORD}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = 10\nmax_client_conn = 200\n",
            cluster.port
        );
        let file = folder.join(format!("pgbouncer-{port}.ini"));
        std::fs::write(&file, settings).unwrap();
        // PgBouncer refuses to run as root.
        let mut command = Command::new(if is_root() { PathBuf::from("runuser") } else { path.clone() });
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&file));
            command.args(["-u", "postgres", "--"]).arg(path);
        }
        command.arg("-q").arg(&file).current_dir(folder);
        let log = std::fs::File::create(folder.join(format!("pgbouncer-{port}.log"))).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Some(Self { child: command.spawn().unwrap(), port })
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        // `runuser` forwards this signal, but SIGKILL would end only `runuser` itself.
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.child),
            rustix::process::Signal::TERM,
        )
        .unwrap();
        self.child.wait().unwrap();
    }
}

impl Database {
    pub(crate) fn url(&self) -> String {
        self.cluster.url_at(self.port.unwrap_or(self.cluster.port), "postgres", &self.name)
    }

    /// Creates a store with its own pool.
    pub(crate) fn store(&self) -> PostgresStore {
        PostgresStore::new(PostgresUrl::parse(&self.url()).unwrap(), 8)
    }

    /// Opens a separate connection directly to the cluster.
    pub(crate) async fn client(&self) -> Client {
        connect(&self.cluster.url(&self.name)).await
    }
}

/// Opens a connection with the driver only.
pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    client
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let shown = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {}\n{shown}", output.status);
    output
}

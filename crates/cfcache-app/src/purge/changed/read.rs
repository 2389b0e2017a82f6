//! Reads the deployed files or a list of changes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, stdin};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cfcache_site::changes::{ChangeList, ListFormat};
use cfcache_site::difference::FileChange;
use cfcache_site::io::{directory, records};
use cfcache_site::mapping::Site;
use cfcache_site::path::Root;
use cfcache_site::snapshot::git_tree::GitTree;
use cfcache_site::snapshot::manifest::Manifest;
use cfcache_site::snapshot::sitemap::SitemapPages;
use cfcache_site::snapshot::{InvalidSnapshot, Snapshot};

use crate::failure::Failure;
use crate::job::ChangedSource;
use crate::secret::shown_path;
use crate::source::lines::Line;
use crate::source::sitemap::Sitemap;

/// The content of a deployment.
pub(super) enum Deployed {
    /// All deployed files.
    Snapshot(Snapshot),
    /// The changes; if the list is invalid, those before the error.
    Changes { changes: Vec<FileChange>, outside: u64, broken: Option<Failure> },
}

/// Reads the source completely.
///
/// # Errors
///
/// If a snapshot cannot be read completely, or contains no file.
pub(super) fn read(source: &ChangedSource, site: &Site, state: &Path) -> Result<Deployed, Failure> {
    match source {
        ChangedSource::Directory { path, within } => {
            check_directory(path, within.as_deref(), state)?;
            directory::snapshot(path, site).map(Deployed::Snapshot).map_err(|error| {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                with_cause(Failure::usage(error.to_string()), cause)
            })
        }
        ChangedSource::Manifest { file, is_null_separated, root } => {
            manifest(file, *is_null_separated, root.as_deref(), site).map(Deployed::Snapshot)
        }
        ChangedSource::GitTree(tree) => git_tree(tree, site).map(Deployed::Snapshot),
        ChangedSource::Sitemaps(files) => sitemaps(files, site).map(Deployed::Snapshot),
        ChangedSource::Changes { format, file, is_null_separated, root } => {
            Ok(changes(*format, file, *is_null_separated, root.as_deref(), site))
        }
    }
}

fn with_cause(failure: Failure, cause: Option<String>) -> Failure {
    match cause {
        Some(cause) => failure.with_cause(cause),
        None => failure,
    }
}

/// Refuses a directory outside of the project, and a state inside of the deployed directory.
fn check_directory(path: &Path, within: Option<&Path>, state: &Path) -> Result<(), Failure> {
    // A missing directory is reported when it is read.
    let Ok(directory) = std::fs::canonicalize(path) else { return Ok(()) };
    if let Some(within) = within.and_then(|within| std::fs::canonicalize(within).ok())
        && !directory.starts_with(&within)
    {
        return Err(Failure::usage(format!(
            "the `root` of the site, {}, is outside of the project, at {}",
            shown_path(path),
            shown_path(&directory)
        )));
    }
    let folder = state.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if std::fs::canonicalize(folder).is_ok_and(|folder| folder.starts_with(&directory)) {
        return Err(Failure::usage(format!(
            "the state {} is in the directory that is deployed",
            shown_path(state)
        ))
        .with_hint(
            "choose another location with `--state`: the state lists every file and changes with each run",
        ));
    }
    Ok(())
}

/// Passes each record of a list to `push`. An error names the list and the record.
fn read_records<E: ToString>(
    input: impl BufRead,
    is_null_separated: bool,
    name: &str,
    noun: &str,
    mut push: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), Failure> {
    let separator = if is_null_separated { 0 } else { b'\n' };
    records::for_each(input, separator, |number, record| {
        let record = if is_null_separated { record } else { record.strip_suffix(b"\r").unwrap_or(record) };
        push(record)
            .map_err(|error| Failure::usage(format!("{name}, {noun} {number}: {}", error.to_string())))
    })
    .map_err(|error| Failure::usage(format!("cannot read {name}")).with_cause(error.to_string()))?
}

fn open(file: &Path) -> Result<Box<dyn BufRead>, Failure> {
    if file == Path::new("-") {
        return Ok(Box::new(stdin().lock()));
    }
    let opened = File::open(file).map_err(|error| {
        Failure::usage(format!("cannot read {}", shown_path(file))).with_cause(error.to_string())
    })?;
    Ok(Box::new(BufReader::with_capacity(256 << 10, opened)))
}

fn name(file: &Path) -> String {
    if file == Path::new("-") { "standard input".to_owned() } else { shown_path(file).to_string() }
}

fn root(path: Option<&Path>) -> Root {
    path.map_or(Root::none(), |path| Root::new(path.as_os_str().as_encoded_bytes()))
}

fn manifest(
    file: &Path,
    is_null_separated: bool,
    below: Option<&Path>,
    site: &Site,
) -> Result<Snapshot, Failure> {
    let mut manifest = Manifest::new(root(below));
    read_records(open(file)?, is_null_separated, &name(file), "line", |line| {
        manifest.push(line, &|path| site.ignores(path))
    })?;
    let outside = manifest.outside();
    manifest.finish().map_err(|error| {
        let failure = Failure::usage(format!("{}: {error}", name(file)));
        match below {
            Some(below) if outside > 0 => failure.with_hint(format!(
                "it contains {outside} files, but none of them is below {}",
                shown_path(below)
            )),
            _ => failure,
        }
    })
}

/// The files of a git tree.
fn git_tree(tree: &str, site: &Site) -> Result<Snapshot, Failure> {
    if tree.starts_with('-') {
        return Err(Failure::usage(format!(
            "`--git-tree {tree}`: name a tree as `REV:PATH`, such as `HEAD:public`"
        )));
    }
    let what = format!("`git ls-tree -r -z {tree}`");
    let failed =
        |error: io::Error| Failure::usage(format!("cannot run {what}")).with_cause(error.to_string());
    let mut child = Command::new("git")
        .args(["ls-tree", "-r", "-z", "--full-tree", tree])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(failed)?;
    let mut files = GitTree::default();
    let output = child.stdout.take().ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
    let read = read_records(BufReader::new(output), true, &what, "record", |record| {
        files.push(record, &|path| site.ignores(path))
    });
    let status = child.wait().map_err(failed)?;
    // The list of a failed git command is incomplete.
    if !status.success() {
        return Err(Failure::usage(format!("{what} failed")).with_cause(status.to_string()));
    }
    read?;
    files.finish().map_err(|error| Failure::usage(format!("{what}: {error}")))
}

/// The pages of sitemaps, including those that an index lists.
fn sitemaps(files: &[PathBuf], site: &Site) -> Result<Snapshot, Failure> {
    let mut pages = SitemapPages::default();
    for file in files {
        let stdin = Path::new("-");
        let path = (file != stdin).then_some(file.as_path());
        let input = open(file)?;
        let cannot = |name: &str, why: String| {
            Failure::usage(format!("cannot use the sitemap {name}")).with_cause(why)
        };
        let shown = name(file);
        let mut sitemap = Sitemap::new(&shown, path, input)
            .map_err(|error| cannot(&shown, error.to_string()))?
            .with_dates();
        loop {
            let line = sitemap.next_line();
            let name = sitemap.name();
            let invalid = |why: String| cannot(name, format!("<url> {}: {why}", sitemap.number()));
            match line {
                Line::Entry(page) => {
                    pages.push(site, &page, sitemap.lastmod()).map_err(|error| invalid(error.to_string()))?;
                }
                Line::Nothing => {}
                Line::Invalid { reason, .. } => return Err(invalid(reason)),
                Line::Failed(error) => return Err(cannot(name, error.to_string())),
                Line::End => break,
            }
        }
    }
    pages.finish().map_err(|error| {
        let why = match error {
            InvalidSnapshot::Empty => "it contains no page of the site".to_owned(),
            other => other.to_string(),
        };
        let names: Vec<String> = files.iter().map(|file| name(file)).collect();
        Failure::usage(format!("cannot use the sitemap {}", names.join(", "))).with_cause(why)
    })
}

fn changes(
    format: ListFormat,
    file: &Path,
    is_null_separated: bool,
    below: Option<&Path>,
    site: &Site,
) -> Deployed {
    let mut list = ChangeList::new(format, list_root(format, below));
    let read = open(file).and_then(|input| {
        read_records(input, is_null_separated, &name(file), "record", |record| list.push(record, site))
    });
    let ended =
        read.and_then(|()| list.finish().map_err(|error| Failure::usage(format!("{}: {error}", name(file)))));
    Deployed::Changes { changes: list.changes(), outside: list.outside(), broken: ended.err() }
}

/// A root such as `s3://bucket/folder` is not a local path.
fn list_root(format: ListFormat, below: Option<&Path>) -> Root {
    match below {
        Some(below) if format == ListFormat::Aws && !below.starts_with("s3:") => {
            // Keys do not begin with the path of the directory that was uploaded.
            let _no_root: PathBuf = below.to_owned();
            Root::none()
        }
        below => root(below),
    }
}

//! The file of a state.

use std::fs;

use cfcache_model::target::{Kind, Target};
use cfcache_site::io::state_file::{Files, StateError, StateFile, read_unlocked};
use cfcache_site::snapshot::Snapshot;
use cfcache_site::state::{StateHeader, UnusableState};
use proptest::prelude::*;

use crate::support::{Scratch, example, snapshot};

fn header() -> StateHeader {
    StateHeader::new(1, example())
}

fn pending(count: usize) -> Vec<Target> {
    let urls = (0..count).map(|index| format!("https://www.example.com/{index}"));
    urls.map(|url| Target::parse(Kind::Files, &url).unwrap()).collect()
}

/// Returns the paths of a state, and the number of pending targets.
fn read(state: &mut StateFile) -> Result<Option<(Vec<String>, usize)>, StateError> {
    let mut paths = Vec::new();
    let remembered = state.read(&mut |_, entry| paths.push(entry.path.to_owned()))?;
    Ok(remembered.map(|remembered| (paths, remembered.pending.len())))
}

fn paths(snapshot: &Snapshot) -> Vec<String> {
    snapshot.iter().map(|entry| entry.path.to_owned()).collect()
}

#[test]
fn reads_what_was_written() {
    let scratch = Scratch::new();
    let path = scratch.0.join("new/folder/www.state");
    let mut state = StateFile::lock(&path).unwrap();
    assert!(read(&mut state).unwrap().is_none());
    // Before the first snapshot: a list of changes.
    state.write(header(), Files::Kept, &pending(2)).unwrap();
    assert_eq!(read(&mut state).unwrap(), Some((vec![], 2)));
    let first = snapshot(&[("a", "1"), ("b", "2")]);
    state.write(header(), Files::Snapshot(&first), &[]).unwrap();
    assert_eq!(read(&mut state).unwrap(), Some((paths(&first), 0)));
    drop(state);
    let mut state = StateFile::lock(&path).unwrap();
    assert_eq!(read(&mut state).unwrap(), Some((paths(&first), 0)));
    // Twice, because the kept part moves.
    state.write(StateHeader::new(1_000_000, example()), Files::Kept, &pending(3)).unwrap();
    state.write(header(), Files::Kept, &pending(1)).unwrap();
    assert_eq!(read(&mut state).unwrap(), Some((paths(&first), 1)));
    drop(state);
    let left: Vec<_> =
        fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["www.state"], "no lock and no temporary file is left");
}

#[test]
fn only_one_process_can_lock_the_file() {
    let scratch = Scratch::new();
    let path = scratch.0.join("www.state");
    let state = StateFile::lock(&path).unwrap();
    // A process that writes nothing may still read it.
    assert!(read_unlocked(&path, &mut |_, _| {}).unwrap().is_none());
    let error = StateFile::lock(&path).unwrap_err();
    assert!(matches!(error, StateError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("another run uses this state"), "{error}");
    drop(state);
    StateFile::lock(&path).unwrap();
}

#[test]
fn a_lock_file_of_a_killed_process_is_not_a_lock() {
    let scratch = Scratch::new();
    scratch.write("www.state.lock", "");
    scratch.write(".www.state.cfcache-new", "half a sta");
    let mut state = StateFile::lock(&scratch.0.join("www.state")).unwrap();
    state.write(header(), Files::Snapshot(&snapshot(&[("a", "")])), &[]).unwrap();
    assert_eq!(read(&mut state).unwrap(), Some((vec!["a".to_owned()], 0)));
}

#[test]
fn never_replaces_foreign_files() {
    let scratch = Scratch::new();
    for content in ["<html>", "{}", "#!/bin/sh\n", "\n", "{\"cfcache-states\":1}"] {
        scratch.write("page.html", content);
        let path = scratch.0.join("page.html");
        let mut state = StateFile::lock(&path).unwrap();
        for error in [
            read(&mut state).unwrap_err(),
            state.write(header(), Files::Kept, &[]).unwrap_err(),
            state.write(header(), Files::Snapshot(&snapshot(&[("a", "")])), &[]).unwrap_err(),
        ] {
            let StateError::Unusable { unusable: UnusableState::Foreign, .. } = error else {
                panic!("{error}")
            };
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    let error = StateFile::lock(&scratch.0).unwrap_err();
    assert!(matches!(error, StateError::Io { .. }), "a folder: {error}");
}

#[test]
fn replaces_a_truncated_state() {
    let scratch = Scratch::new();
    let path = scratch.0.join("www.state");
    let mut state = StateFile::lock(&path).unwrap();
    state.write(header(), Files::Snapshot(&snapshot(&[("a", ""), ("b", "")])), &pending(2)).unwrap();
    let whole = fs::read(&path).unwrap();
    for len in 0..whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        let error = read(&mut state).unwrap_err();
        let StateError::Unusable { unusable: UnusableState::Torn { .. }, salvaged, .. } = error else {
            panic!("{len} bytes: {error}");
        };
        let first_line = whole.iter().position(|byte| *byte == b'\n').unwrap();
        assert_eq!(salvaged.is_some(), len > first_line, "{len} bytes");
        state.write(header(), Files::Kept, &pending(1)).unwrap();
        assert_eq!(read(&mut state).unwrap(), Some((vec![], 1)), "nothing of a torn state is kept");
    }
}

#[cfg(unix)]
#[test]
fn keeps_links_and_modes() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let scratch = Scratch::new();
    let target = scratch.0.join("data/www.state");
    StateFile::lock(&target).unwrap().write(header(), Files::Kept, &[]).unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
    let link = scratch.0.join("link");
    symlink("data/www.state", &link).unwrap();
    let mut state = StateFile::lock(&link).unwrap();
    assert!(matches!(StateFile::lock(&target), Err(StateError::Locked { .. })), "one file, one lock");
    state.write(header(), Files::Kept, &pending(1)).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o640);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// After any order of writes, the file contains the last one.
    #[test]
    fn keeps_the_last_of_any_writes(writes in proptest::collection::vec((proptest::option::of(proptest::collection::btree_set("[a-z%]{1,8}", 1..40)), 0_usize..5, any::<bool>()), 1..8)) {
        let scratch = Scratch::new();
        let path = scratch.0.join("www.state");
        let mut expected = Vec::new();
        let mut state = StateFile::lock(&path).unwrap();
        read(&mut state).unwrap();
        for (files, count, again) in writes {
            if let Some(files) = files {
                expected = files.into_iter().collect();
                let files: Vec<_> = expected.iter().map(|path| (path.as_str(), path.as_str())).collect();
                state.write(header(), Files::Snapshot(&snapshot(&files)), &pending(count)).unwrap();
            } else {
                state.write(header(), Files::Kept, &pending(count)).unwrap();
            }
            if again {
                drop(state);
                state = StateFile::lock(&path).unwrap();
            }
            prop_assert_eq!(read(&mut state).unwrap(), Some((expected.clone(), count)));
        }
    }
}

/// A new state would replace a device such as `/dev/null`, and opening a pipe waits for its other end.
#[cfg(unix)]
#[test]
fn refuses_devices_pipes_and_sockets() {
    use std::os::unix::fs::symlink;
    let scratch = Scratch::new();
    let socket = scratch.0.join("socket");
    let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let link = scratch.0.join("link");
    symlink("socket", &link).unwrap();
    for path in [&socket, &link] {
        let error = StateFile::lock(path).unwrap_err();
        assert!(error.to_string().contains("write"), "{error}");
        let Err(StateError::Io { source, .. }) = read_unlocked(path, &mut |_, _| {}) else {
            panic!("a socket was read");
        };
        assert_eq!(source.to_string(), "it is not a regular file");
    }
    assert!(!scratch.0.join("socket.lock").exists());
}

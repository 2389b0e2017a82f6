//! The crates of the workspace: what they stand on, and whether they can be published.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::repo::{self, Package};

/// Crates that do no IO, and read no clock, without their default features.
const SANS_IO: &[&str] = &["cfcache-client", "cfcache-edge", "cfcache-model", "cfcache-probe"];

/// What does IO, and so must not be below them.
const IO: &[&str] = &["hyper", "hyper-rustls", "hyper-util", "mio", "ring", "rustls", "socket2", "tokio"];

/// A name, and the files that alone may use it. (Which crate may is in `.deny.toml`.)
const NAMES: &[(&str, &[&str])] = &[
    ("clap::", &["crates/cfcache-cli/src/args.rs", "crates/cfcache-queue/src/args.rs"]),
    ("clap_complete::", &["crates/cfcache-cli/src/command/generate.rs"]),
    ("clap_mangen::", &["crates/cfcache-cli/src/command/generate.rs"]),
    (
        "rustls::",
        &[
            "crates/cfcache-transport/src/hyper/tls.rs",
            "crates/cfcache-transport/src/hyper/tls/trust.rs",
            "crates/cfcache-queue/src/store/postgres/tls.rs",
        ],
    ),
];

pub(super) fn dependencies_between_our_crates_are_fenced() -> Result<Vec<String>> {
    let packages = repo::packages()?;
    let fences = repo::read(".deny.toml")?;
    let is_dependency = |name: &str| packages.iter().any(|package| package.depends_on(name));
    let open = packages.iter().filter(|package| {
        is_dependency(&package.name)
            && !fences.contains(&format!("{{ crate = \"{}\", wrappers = ", package.name))
    });
    Ok(open.map(|package| format!(".deny.toml does not say who may depend on {}", package.name)).collect())
}

pub(super) fn sans_io_crates_stand_on_no_io() -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for package in repo::packages()?.iter().filter(|package| SANS_IO.contains(&package.name.as_str())) {
        let selection = format!("--package={}", package.name);
        let below =
            ["tree", &selection, "--no-default-features", "--edges=normal", "--prefix=none", "--format={p}"];
        let tree = repo::capture("cargo", below)?;
        let names = tree.lines().filter_map(|line| line.split_whitespace().next());
        let found: Vec<&str> = names.filter(|name| IO.contains(name)).collect();
        if !found.is_empty() {
            broken.push(format!("{} without features stands on {}", package.name, found.join(", ")));
        }
    }
    Ok(broken)
}

pub(super) fn a_name_from_below_stays_in_its_file() -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for path in repo::files()? {
        if !(path.starts_with("crates/") && path.contains("/src/") && path.ends_with(".rs")) {
            continue;
        }
        let text = repo::read(&path)?;
        for (name, homes) in NAMES.iter().filter(|(_, homes)| !homes.contains(&path.as_str())) {
            let places = text.lines().enumerate().filter(|(_, line)| names(line, name));
            broken.extend(places.map(|(index, _)| {
                format!("{path}:{} names `{name}`, which is for {} alone", index + 1, homes.join(", "))
            }));
        }
    }
    Ok(broken)
}

/// Whether a line of code begins a path with that name.
fn names(line: &str, name: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(name).any(|(index, _)| !code[..index].ends_with(is_word))
}

/// A file that no `mod` names is not compiled, and its tests never run.
pub(super) fn every_rust_file_is_a_module() -> Result<Vec<String>> {
    let files = repo::files()?;
    let mut broken = Vec::new();
    for path in files.iter().filter(|path| path.ends_with(".rs")) {
        let Some(parents) = parents(path) else { continue };
        let declares = |parent: &&String| -> Result<bool> { Ok(declares(&repo::read(parent)?, stem(path))) };
        let existing = parents.iter().filter(|parent| files.contains(parent));
        let declared = existing.map(|parent| declares(&parent)).collect::<Result<Vec<bool>>>()?;
        if !declared.contains(&true) {
            broken.push(format!("{path} is a module of none of {}", parents.join(", ")));
        }
    }
    Ok(broken)
}

fn stem(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path).trim_end_matches(".rs")
}

/// The files that can declare a module; none for a root of a crate or target, which cargo finds.
fn parents(path: &str) -> Option<Vec<String>> {
    let (folder, _) = path.rsplit_once('/')?;
    let (above, name) = folder.rsplit_once('/')?;
    let is_root = match name {
        "src" => matches!(stem(path), "lib" | "main"),
        "bin" | "benches" | "examples" | "fuzz_targets" | "tests" => !path.contains("/src/") || name == "bin",
        _ => stem(path) == "main" || stem(path) == "build",
    };
    if is_root {
        return None;
    }
    let beside = ["main", "lib"].map(|root| format!("{folder}/{root}.rs"));
    Some([&[format!("{above}/{name}.rs")], &beside[..]].concat())
}

/// Whether a file has `mod name;`, or `name;` in the list of a macro, or a path to the file.
fn declares(text: &str, name: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim();
        let ends = line.strip_suffix(';').is_some_and(|line| line.rsplit(' ').next() == Some(name));
        ends || line.contains(&format!("/{name}.rs\"")) || line == format!("mod {name} {{")
    })
}

pub(super) fn published_crates_have_what_crates_io_shows() -> Result<Vec<String>> {
    let packages = repo::packages()?;
    let published = packages.iter().filter(|package| package.is_published);
    Ok(published
        .filter_map(|package| is_ready_to_publish(package).err())
        .map(|error| error.to_string())
        .collect())
}

fn is_ready_to_publish(package: &Package) -> Result<()> {
    let (name, folder) = (&package.name, &package.folder);
    for field in ["description", "license", "repository", "documentation", "readme", "rust_version"] {
        let has_it = package.metadata[field].as_str().is_some_and(|text| !text.is_empty());
        ensure!(has_it, "{folder}/Cargo.toml has no `{}`", field.replace('_', "-"));
    }
    for field in ["categories", "keywords"] {
        let count = package.metadata[field].as_array().map_or(0, Vec::len);
        ensure!((1..=5).contains(&count), "{folder}/Cargo.toml has {count} {field}; crates.io takes 1 to 5");
    }
    ensure!(
        !package.has_library || package.metadata["metadata"]["docs"]["rs"]["all-features"] == true,
        "{folder}/Cargo.toml has no `[package.metadata.docs.rs] all-features = true`, so docs.rs hides features"
    );
    for license in ["LICENSE-APACHE", "LICENSE-MIT"] {
        let path = format!("{folder}/{license}");
        let own = fs::read(repo::root().join(&path))
            .with_context(|| format!("{path} is not there: copy {license}"))?;
        ensure!(own == fs::read(repo::root().join(license))?, "{path} differs from {license}: copy it again");
    }
    ensure!(!package.depends_on(name), "{name} depends on itself, so it could not be published");
    let minimum = repo::read("Cargo.toml")?;
    let minimum = minimum.lines().find(|line| line.starts_with("rust-version = "));
    let own = package.rust_version.as_ref().map(|version| format!("rust-version = \"{version}\""));
    ensure!(own.as_deref() == minimum, "{folder}/Cargo.toml does not inherit `rust-version`");
    let readme = repo::read(&format!("{folder}/README.md"))?;
    ensure!(readme.starts_with(&format!("# {name}\n")), "{folder}/README.md does not begin with `# {name}`");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_whole_word_outside_of_comments() {
        assert!(names("use rustls::ClientConfig;", "rustls::"));
        assert!(!names("use hyper_rustls::HttpsConnector;", "rustls::"));
        assert!(!names("let a = 1; // rustls::ClientConfig", "rustls::"));
    }

    #[test]
    fn a_module_is_looked_for_where_it_can_be_declared() {
        assert_eq!(parents("crates/a/src/lib.rs"), None);
        assert_eq!(parents("crates/a/tests/it/main.rs"), None);
        assert_eq!(parents("crates/a/examples/b.rs"), None);
        let expected = ["crates/a/src/b.rs", "crates/a/src/b/main.rs", "crates/a/src/b/lib.rs"];
        assert_eq!(parents("crates/a/src/b/c.rs").unwrap(), expected);
        assert!(parents("crates/a/src/b.rs").unwrap().contains(&"crates/a/src/lib.rs".to_owned()));
        assert!(parents("crates/a/tests/it/b.rs").unwrap().contains(&"crates/a/tests/it/main.rs".to_owned()));
    }

    #[test]
    fn a_declaration_is_found_in_a_macro_too() {
        assert!(declares("pub(crate) mod b;", "b"));
        assert!(declares("endpoints! {\n    b;\n}", "b"));
        assert!(declares("#[path = \"../b.rs\"]", "b"));
        assert!(!declares("// mod b, later\nmod bb;", "b"));
    }
}

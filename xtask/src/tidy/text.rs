//! What files say.

use std::fs;

use anyhow::Result;

use crate::repo;

pub(super) fn captured_fixtures_say_where_they_are_from() -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for path in repo::files()? {
        if path.starts_with("fixtures/captured/") && path.ends_with(".request") | path.ends_with(".reply") {
            let text = repo::read(&path)?;
            let top: String = text.lines().take_while(|line| line.starts_with("# ")).collect();
            if !(top.contains(" 20") || top.contains("undated")) {
                broken.push(format!("{path}: its first line, `# …`, does not say where it is from and when"));
            }
        }
    }
    Ok(broken)
}

pub(super) fn paths_named_in_docs_exist() -> Result<Vec<String>> {
    let files = repo::files()?;
    let exists = |path: &str| {
        let path = path.trim_end_matches('/');
        files
            .iter()
            .any(|file| file == path || file.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')))
    };
    let is_page = |path: &&String| {
        path.ends_with(".md")
            && (path.starts_with("docs/") || path.starts_with("fixtures/") || !path.contains('/'))
    };
    let mut broken = Vec::new();
    for page in files.iter().filter(is_page) {
        for (index, line) in repo::read(page)?.lines().enumerate() {
            let missing = paths(page, line).into_iter().filter(|path| !exists(path));
            broken.extend(missing.map(|path| format!("{page}:{}: `{path}` does not exist", index + 1)));
        }
    }
    Ok(broken)
}

/// The paths in the repository that a line of a page names, as code or as the target of a link.
fn paths(page: &str, line: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for code in line.split('`').skip(1).step_by(2) {
        let code = code
            .split_once(':')
            .filter(|(_, line)| line.parse::<u32>().is_ok())
            .map_or(code, |(path, _)| path);
        let begins = ["crates/", "docs/", "fixtures/", "xtask/", ".cargo/", ".ci/", ".config/"];
        let is_exact =
            code.chars().all(|character| character.is_ascii_alphanumeric() || "/._-".contains(character));
        if is_exact && begins.iter().any(|begin| code.starts_with(begin)) {
            paths.push(code.to_owned());
        }
    }
    for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        let target = target.split('#').next().unwrap_or_default();
        if !target.is_empty() && !target.contains(':') {
            paths.push(resolve(page, target));
        }
    }
    paths
}

/// A relative link as a path in the repository.
fn resolve(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

pub(super) fn no_test_is_ignored_or_expects_a_panic() -> Result<Vec<String>> {
    in_lines(
        |path| path.ends_with(".rs"),
        |line| {
            let line = line.trim_start();
            let attribute = line.strip_prefix("#[")?;
            let name: String = attribute
                .chars()
                .take_while(|character| character.is_alphanumeric() || *character == '_')
                .collect();
            // One that another test starts as a process of its own is run.
            let is_run = attribute.starts_with("ignore = \"it is run by the test ");
            (matches!(name.as_str(), "ignore" | "should_panic") && !is_run).then(|| format!("`#[{name}]`"))
        },
    )
}

pub(super) fn no_file_names_the_machine_it_was_written_on() -> Result<Vec<String>> {
    let words = forbidden();
    in_lines(
        |_| true,
        |line| {
            let word = words.iter().find(|word| {
                line.match_indices(word.as_str()).any(|(index, _)| {
                    !line[..index]
                        .ends_with(|before: char| before.is_alphanumeric() || "._-/".contains(before))
                })
            })?;
            Some(format!("`{word}`"))
        },
    )
}

/// Put together from parts, so that this file does not name them.
fn forbidden() -> Vec<String> {
    let parts: &[&[&str]] = &[
        // Folders of one machine.
        &["/", "work", "/"],
        &["/", "tmp/target"],
        &["/", "root/"],
        &["/", "home/"],
        // Hosts of registries: a mirror is as good, and a lock file needs none of them.
        &["index.", "crates.io"],
        &["static.", "crates.io"],
        &["files.", "pythonhosted.org"],
        &["registry.", "npmjs.org"],
        &["deb.", "debian.org"],
    ];
    parts.iter().map(|parts| parts.concat()).collect()
}

/// Looks for something in each line of the text files of the repository.
fn in_lines(wanted: impl Fn(&str) -> bool, look: impl Fn(&str) -> Option<String>) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for path in repo::files()?.into_iter().filter(|path| wanted(path)) {
        // What is no text cannot say anything.
        let Ok(text) = String::from_utf8(fs::read(repo::root().join(&path))?) else { continue };
        let places = text.lines().enumerate().filter_map(|(index, line)| Some((index, look(line)?)));
        found.extend(places.map(|(index, what)| format!("{path}:{}: {what}", index + 1)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_paths_as_code_and_in_links() {
        let line = "See `crates/a/src/lib.rs:12`, `docs/x.md` and [y](../README.md#top), not `crates/<name>/`, \
                    `cargo xtask`, <https://example.com/docs/z.md> or [z](https://example.com).";
        assert_eq!(paths("docs/a.md", line), ["crates/a/src/lib.rs", "docs/x.md", "README.md"]);
    }
}

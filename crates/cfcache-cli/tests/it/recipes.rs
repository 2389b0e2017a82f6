//! Runs the shell blocks of the README and the recipes against the emulator.
//!
//! Each block gets a directory with the files that a reader of the page would have, an environment with credentials,
//! and a `PATH` in which `cfcache` is the tested binary, `cargo` runs existing builds, and `curl` serves the site of
//! the pages.

#![cfg(unix)]

use core::time::Duration;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;

use cfcache_emulator::Config;
use cfcache_model::Plan;

use crate::support::{Api, Dir, TOKEN, ZONE};

/// Blocks that are not run, and the reasons.
const SKIPPED: [(&str, &str); 2] = [
    ("cargo test --workspace", "it is what runs this test"),
    (
        "cargo install --locked --path crates/cfcache-cli",
        "it compiles for minutes and changes the home folder",
    ),
];

/// The tools that blocks need, and how to install them. Blocks without their tool are named and skipped; in CI on
/// Linux, that is a failure.
const TOOLS: [(&str, &str); 5] = [
    ("sha256sum", "apt-get install coreutils"),
    ("curl", "apt-get install curl"),
    ("git", "apt-get install git"),
    ("flock", "apt-get install util-linux"),
    ("--example", "cargo build --workspace --examples"),
];

/// A `cargo` for the commands in the pages.
const CARGO: &str = r#"#!/bin/sh
case "$*" in
  "run --release -- "*) shift 3; exec cfcache "$@" ;;
  "run --package "*" --example "*)
    example="$EXAMPLES/$5"; shift 5
    if [ "${1-}" = -- ]; then shift; fi
    exec "$example" "$@" ;;
  *) echo "the test knows no 'cargo $*'" >&2; exit 97 ;;
esac
"#;

/// A `curl` for the commands in the pages.
const CURL: &str = r#"#!/bin/sh
case "$*" in
  "-fsSL --retry 3 -o .cfcache/archive https://github.com/cfcache/cfcache/releases/download/v0.1.0/"*)
    cp .archive.tar.gz .cfcache/archive ;;
  *http://127.0.0.1:*) PATH=${PATH#*:}; exec curl "$@" ;;
  "-fsS https://www.example.com/sitemap.xml") exec cat sitemap.xml ;;
  *) echo "the test knows no 'curl $*'" >&2; exit 97 ;;
esac
"#;

/// `rsync` and `aws` for the commands in the pages: they print a new file and a deleted one.
const RSYNC: &str = r#"#!/bin/sh
printf '%s\n' '*deleting   gone.html' '>f+++++++++ new.css' '.f...p..... styles.css'
"#;
const AWS: &str = r#"#!/bin/sh
printf '%s\n' 'delete: s3://bucket/gone.html' 'upload: public/new.css to s3://bucket/new.css'
"#;

const SITEMAP: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
  <url><loc>https://www.example.com/</loc><lastmod>2026-11-01</lastmod></url>
  <url>
    <loc>https://www.example.com/search?q=tea&amp;page=2</loc>
  </url>
</urlset>
"#;

/// The requests of blocks that contain these texts.
const SENT: [(&str, &[&str]); 9] = [
    ("purge hosts", &["www.example.com"]),
    ("HEAD~1 HEAD", CHANGED),
    ("site.state", &["www.example.com"]),
    ("purge changed \"$HOME/public\"", &["www.example.com"]),
    (
        "--changes rsync",
        &[
            "https://www.example.com/gone.html",
            "https://www.example.com/gone",
            "https://www.example.com/new.css",
        ],
    ),
    (
        "--changes aws",
        &[
            "https://www.example.com/gone.html",
            "https://www.example.com/gone",
            "https://www.example.com/new.css",
        ],
    ),
    ("-newer ../.deployed", &["https://www.example.com/new.css"]),
    ("--from-sitemap public", &["https://www.example.com/", "https://www.example.com/search?q=tea&page=2"]),
    ("--from-sitemap -", &["https://www.example.com/", "https://www.example.com/search?q=tea&page=2"]),
];

/// The difference between the two commits of the site: one changed file, one deleted file, three new files.
const CHANGED: &[&str] = &[
    "https://www.example.com/a%20b.txt",
    "https://www.example.com/blog/index.html",
    "https://www.example.com/blog/",
    "https://www.example.com/gone.html",
    "https://www.example.com/styles.css",
    "https://www.example.com/%C3%BC.html",
];

#[test]
fn the_blocks_of_the_readme_work() {
    run_all("README.md");
}

/// The README contains the output of `docs/first-minute.sh`, except for values that differ in each run.
#[test]
fn the_readme_contains_the_output_of_the_first_minute() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let dir = Dir::new();
    let mut script = Command::new("sh");
    script.arg(root.join("docs/first-minute.sh")).env_clear();
    script.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("TMPDIR", dir.path());
    script.env("CFCACHE", env!("CARGO_BIN_EXE_cfcache"));
    let output = run_with_timeout(script).unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let wanted = normalize(&printed);
    let readme = page("README.md");
    let shown = readme.split_once("\n```console\n").unwrap().1.split_once("```\n").unwrap().0;
    assert_eq!(shown, wanted, "README.md is to show what docs/first-minute.sh prints:\n{wanted}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "something stays behind");
    let edge = printed.lines().find_map(|line| line.split_once("--verify-connect ")).unwrap().1;
    assert!(std::net::TcpStream::connect(edge).is_err(), "the emulator still runs");
}

/// Replaces ports, times, ages and entity tags with constants; different tags stay different.
fn normalize(printed: &str) -> String {
    const TAGS: [&str; 2] = ["\"4b1d9c07a52…", "\"e83f20c6d17…"];
    let mut tags: Vec<&str> = Vec::new();
    let mut normalize = String::new();
    for line in printed.lines() {
        let mut changed = line.to_owned();
        if let Some((before, port)) = line.split_once("--verify-connect 127.0.0.1:") {
            assert!(port.parse::<u16>().is_ok(), "{line}");
            changed = format!("{before}--verify-connect 127.0.0.1:8788");
        } else if let Some((before, _)) = line.split_once(" request, ") {
            changed = format!("{before} request, 3 ms)");
        } else if let Some((before, rest)) = line.split_once("  \"") {
            let tag = rest.split_once("  ").unwrap().0;
            let index = tags.iter().position(|seen| *seen == tag).unwrap_or_else(|| {
                tags.push(tag);
                tags.len() - 1
            });
            let status = before.replace(" 1 s  ", " 0 s  ").replace(" 2 s  ", " 0 s  ");
            changed = format!("{status}  {}{}", TAGS[index], &rest[tag.len()..]);
        }
        normalize.push_str(changed.trim_end());
        normalize.push('\n');
    }
    assert_eq!(tags.len(), 2, "{printed}");
    normalize
}

#[test]
fn the_blocks_of_the_recipes_work() {
    run_all("docs/recipes.md");
}

#[test]
fn the_exported_variables_are_enough_for_the_emulator() {
    let address = "http://127.0.0.1:8787/client/v4";
    let api = Api::quick();
    let blocks = blocks(&page("docs/emulator.md"));
    assert_eq!(blocks.len(), 2);
    for mut block in blocks {
        block.script = block.script.replace(address, api.base());
        let unset =
            ["CLOUDFLARE_BASE_URL", "CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ZONE_ID"].map(|name| (name, ""));
        run(&block, &block_directory(&block), &api, &unset).unwrap();
    }
    assert_eq!(api.items(), ["https://www.example.com/css/styles.css"]);
}

/// Ctrl-C ends a run with an exit code. A shell then continues, unless the script stops.
#[test]
fn recipes_that_retry_stop_after_ctrl_c() {
    let dir = Dir::new();
    for name in ["urls.txt", "other.txt"] {
        dir.file(name, "");
    }
    let bin = dir.at("bin");
    std::fs::create_dir(&bin).unwrap();
    let fake = dir.file("bin/cfcache", "#!/bin/sh\necho \"$*\" >> calls\nexit $CODE\n");
    std::fs::set_permissions(fake, std::fs::Permissions::from_mode(0o755)).unwrap();
    for (path, part) in
        [("docs/recipes.md", "--from failed.txt"), ("docs/reference/exit-codes.md", "for list in")]
    {
        let page = page(path);
        let block = blocks(&page).into_iter().find(|block| block.script.contains(part)).unwrap();
        for (code, calls) in [("130", 1), ("5", 2)] {
            let _none = std::fs::remove_file(dir.at("calls"));
            let mut bash = Command::new("bash");
            let path = format!("{}:/usr/bin:/bin", bin.display());
            bash.args(["-u", "-c", &block.script])
                .current_dir(dir.path())
                .env("PATH", path)
                .env("CODE", code);
            let output = run_with_timeout(bash).unwrap();
            assert_eq!(dir.read("calls").lines().count(), calls, "{part} {code}");
            assert_eq!(output.status.code() == Some(130), code == "130", "{part} {code}");
        }
    }
}

#[test]
fn pipelines_repeat_failed_purges() {
    let (api, refuses) = (enterprise(), Api::with_fault("status=400,code=9999"));
    let mut blocks = blocks(&page("docs/recipes.md"));
    // Pipelines that keep a state: Jenkins, Terraform and systemd.
    blocks.retain(|block| block.script.contains("site.state"));
    assert_eq!(blocks.len(), 3);
    for block in &blocks {
        if let Some((tool, cure)) = TOOLS.iter().find(|(tool, _)| is_missing(tool, block)) {
            assert!(!needs_all_tools(), "{}: `{tool}` is not here: {cure}", block.line);
            continue;
        }
        let dir = block_directory(block);
        let once = |api: &Api| {
            api.log().clear();
            run(block, &dir, api, &[])
        };
        once(&api).unwrap();
        assert_eq!(api.items(), ["www.example.com"], "the first time");
        once(&api).unwrap();
        assert!(api.items().is_empty(), "nothing changed");
        let before = dir.read("public/styles.css");
        dir.file("public/styles.css", "another");
        once(&refuses).unwrap_err();
        dir.file("public/styles.css", before);
        once(&api).unwrap();
        assert_eq!(api.items(), ["https://www.example.com/styles.css"], "after a revert");
    }
}

#[test]
fn pipelines_refuse_an_archive_with_another_digest() {
    let api = enterprise();
    let blocks = blocks(&page("docs/recipes.md"));
    let pipelines: Vec<&Block> =
        blocks.iter().filter(|block| block.script.contains("CFCACHE_SHA256")).collect();
    // Jenkins, Bitbucket and GitLab.
    assert_eq!(pipelines.len(), 3);
    for block in pipelines {
        run(block, &block_directory(block), &api, &[("CFCACHE_SHA256", &"0".repeat(64))]).unwrap_err();
        assert_eq!(api.requests(), 0, "{}", block.script);
    }
}

#[test]
fn keyring_recipes_pass_the_token() {
    let page = page("docs/recipes.md");
    let settings: Vec<&str> = page.lines().filter(|line| line.starts_with("token-command = ")).collect();
    assert_eq!(settings.len(), 3);
    let api = enterprise();
    for setting in settings {
        let dir = Dir::new();
        let words: Vec<String> = serde_json::from_str(setting.split_once(" = ").unwrap().1).unwrap();
        // Prints the token if it is called correctly.
        let program = format!("#!/bin/sh\n[ \"$*\" = '{}' ] && echo '{TOKEN}'\n", words[1..].join(" "));
        let program = dir.file(&words[0], program);
        std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let config = dir.file("config.toml", format!("{setting}\n"));
        let mut verify = Command::new(env!("CARGO_BIN_EXE_cfcache"));
        verify.arg("--config").arg(config).args(["token", "verify"]).env_clear();
        verify.env("PATH", format!("{}:/usr/bin:/bin", dir.path().display()));
        let output = {
            verify.env("CLOUDFLARE_BASE_URL", api.base());
            run_with_timeout(verify).unwrap()
        };
        assert!(output.status.success(), "{setting}: {output:?}");
    }
}

#[test]
fn recipes_purge_failed_files_in_the_next_run() {
    let api = enterprise();
    let blocks = blocks(&page("docs/recipes.md"));
    let block = blocks.iter().find(|block| block.script.contains("-newer ../.deployed")).unwrap();
    let dir = block_directory(block);
    run(block, &dir, &api, &[("CLOUDFLARE_ZONE_ID", "not-this-zone")]).unwrap_err();
    api.log().clear();
    run(block, &dir, &api, &[]).unwrap();
    assert_eq!(api.items(), ["https://www.example.com/new.css"]);
    api.log().clear();
    run(block, &dir, &api, &[]).unwrap();
    assert_eq!(api.requests(), 0);

    // The first run.
    std::fs::remove_file(dir.at(".deployed")).unwrap();
    run(block, &dir, &api, &[]).unwrap();
    let mut items = api.items();
    items.sort();
    assert_eq!(
        items,
        ["gone.html", "new.css", "styles.css"].map(|name| format!("https://www.example.com/{name}"))
    );
}

#[test]
fn code_in_the_recipes_equals_the_examples() {
    let page = page("docs/recipes.md");
    let mut checked = 0;
    for (before, block) in page.split("\n```rust\n").zip(page.split("\n```rust\n").skip(1)) {
        let path = before.rsplit("](../").next().unwrap().split(')').next().unwrap();
        let code = block.split("\n```\n").next().unwrap();
        // The lints of this repository do not exist in the user's repository.
        let example = self::page(path);
        let (lints, rest): (Vec<&str>, Vec<&str>) =
            example.lines().partition(|line| line.starts_with("#![expect(clippy::"));
        assert_eq!(lints.len(), 2);
        let example = rest.join("\n").replace("\n\n\n", "\n\n");
        assert_eq!(code.trim_end(), example.trim_end(), "docs/recipes.md shows another {path}");
        checked += 1;
    }
    assert_eq!(checked, 1);
}

#[test]
fn the_recipes_use_the_same_release() {
    let page = page("docs/recipes.md");
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    let names_one = |line: &&str| {
        let parts =
            ["cfcache/cfcache/.github", "cfcache/cfcache/releases", "cfcache/cfcache/v", "cfcache-0."];
        parts.iter().any(|part| line.contains(part))
            || (line.starts_with("cfcache") && line.contains(" = \""))
    };
    let lines = page.lines().filter(names_one);
    assert_eq!(lines.map(|line| assert!(line.contains(&version[1..]), "{line}")).count(), 13);
}

/// The pages refer to these examples; examples that the pages run are tested with the pages.
#[test]
fn library_examples_run() {
    for name in ["double", "embed", "get", "purge_body", "sans_io"] {
        let example = examples().join(name);
        if !example.exists() {
            assert!(!needs_all_tools(), "{name} is not built: cargo build --workspace --examples");
            println!("{name} is not built, and not run");
            continue;
        }
        let output = run_with_timeout(Command::new(example)).unwrap();
        assert!(output.status.success(), "{name}: {output:?}");
    }
}

#[test]
fn every_listed_block_is_in_a_page() {
    let scripts: Vec<String> = ["README.md", "docs/recipes.md"]
        .into_iter()
        .flat_map(|path| blocks(&page(path)))
        .map(|block| block.script)
        .collect();
    for (script, _) in SKIPPED {
        assert!(scripts.iter().any(|found| found.trim() == script), "no page has `{script}` any more");
    }
    for part in SENT.map(|(part, _)| part).into_iter().chain(TOOLS.map(|(tool, _)| tool)) {
        assert!(scripts.iter().any(|found| found.contains(part)), "no page has `{part}` any more");
    }
}

/// Lines of a script, and their place in a page.
#[derive(Debug)]
struct Block {
    line: usize,
    /// The program that runs it: a pipeline only has a minimal shell.
    shell: &'static str,
    script: String,
}

/// Reads a file of the repository.
fn page(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(path)).unwrap().replace("\r\n", "\n")
}

/// Returns the shell scripts in a page: blocks of `sh`, the scripts in blocks of `yaml` and `groovy`, the commands in
/// blocks of `crontab`, `hcl` and `ini` (units of systemd).
fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((index, fence)) = lines.next() {
        let Some(language) = fence.trim_start().strip_prefix("```").filter(|language| !language.is_empty())
        else {
            continue;
        };
        let content: Vec<&str> =
            lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim_start() != "```").collect();
        let line = index + 2;
        match language {
            "sh" => blocks.push(Block { line, shell: "bash", script: dedent(&content) }),
            "groovy" => {
                let below = content.iter().skip_while(|line| !line.ends_with("sh '''")).skip(1);
                let body: Vec<&str> = below.copied().take_while(|line| !line.ends_with("'''")).collect();
                blocks.push(Block { line, shell: "sh", script: dedent(&body) });
            }
            "hcl" | "ini" => {
                let is_command = |line: &&&str| line.contains("command = ") || line.starts_with("ExecStart=");
                blocks.extend(content.iter().filter(is_command).map(|entry| {
                    let (_, command) = entry.split_once('=').unwrap();
                    // Replaces systemd's variables, and the page's paths.
                    let places =
                        [("%d", ".credentials"), ("%S", ".state"), ("/srv/www", "public"), ("/usr/bin/", "")];
                    let command = command.trim().trim_matches('"').to_owned();
                    let script = places.iter().fold(command, |all, (from, to)| all.replace(from, to));
                    Block { line, shell: "sh", script }
                }));
            }
            "yaml" => blocks.extend(scripts(&content, line)),
            "crontab" => blocks.extend(content.iter().enumerate().map(|(index, entry)| Block {
                line: line + index,
                shell: "sh",
                script: entry.splitn(6, ' ').nth(5).unwrap().to_owned(),
            })),
            _ => {}
        }
    }
    blocks
}

/// Returns the scripts of a pipeline: the indented lines below a line that ends in `|`.
fn scripts(yaml: &[&str], first: usize) -> Vec<Block> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let begins = |line: &&str| line.ends_with("run: |") || line.trim_start() == "- |";
    let mut blocks = Vec::new();
    for (index, line) in yaml.iter().enumerate().filter(|(_, line)| begins(line)) {
        let below = yaml[index + 1..].iter();
        let body: Vec<&str> = below.copied().take_while(|below| indent(below) > indent(line)).collect();
        blocks.push(Block { line: first + index + 1, shell: "sh", script: dedent(&body) });
    }
    blocks
}

fn dedent(lines: &[&str]) -> String {
    let indents =
        lines.iter().filter(|line| !line.is_empty()).map(|line| line.len() - line.trim_start().len());
    let indent = indents.min().unwrap_or(0);
    lines.iter().map(|line| format!("{}\n", line.get(indent..).unwrap_or(""))).collect()
}

fn enterprise() -> Api {
    Api::start(Config::new(Plan::Enterprise).with_limits(false))
}

/// Runs all blocks of a page.
#[expect(clippy::print_stdout, reason = "skipped blocks are reported")]
fn run_all(path: &str) {
    let page = page(path);
    let api = enterprise();
    let mut failed = Vec::new();
    let (mut ran, mut skipped) = (0, 0);
    for block in blocks(&page) {
        let place = format!("{path}:{}", block.line);
        if let Some((_, why)) = SKIPPED.iter().find(|(script, _)| block.script.trim() == *script) {
            println!("{place} is not run: {why}");
            skipped += 1;
            continue;
        }
        if let Some((tool, cure)) = TOOLS.iter().find(|(tool, _)| is_missing(tool, &block)) {
            let missing = format!("{place} cannot be run, `{tool}` is not here: {cure}");
            assert!(!needs_all_tools(), "{missing}");
            println!("{missing}");
            continue;
        }
        api.log().clear();
        ran += 1;
        if asks_visitors(&block) {
            failed.extend(run_at_edge(&block).err().map(|error| format!("{place}: {error}")));
            continue;
        }
        match run(&block, &block_directory(&block), &api, &[]) {
            Ok(()) => failed.extend(
                unexpected_requests(&block, &api)
                    .map(|unexpected_requests| format!("{place}: {unexpected_requests}")),
            ),
            Err(error) => failed.push(format!("{place}: {error}")),
        }
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
    assert!(ran > 2, "{path} has {ran} blocks");
    println!("{path}: {ran} blocks were run, {skipped} are not meant to be");
}

/// Returns whether a block requests pages as a visitor. Blocks with their own edge use that one.
fn asks_visitors(block: &Block) -> bool {
    let asks = ["--verify", "cfcache probe", "cfcache warm"].iter().any(|part| block.script.contains(part));
    asks && !block.script.contains("cfcache emulator") && !block.script.contains("--verify-connect")
}

/// Runs a block with a served site: an edge in front of the files that the block deploys.
fn run_at_edge(block: &Block) -> Result<(), String> {
    const VERSION: &str = "0123456789abcdef";
    let dir = block_directory(block);
    for name in ["index.html", "search.html"] {
        dir.file(&format!("public/{name}"), "<p>");
    }
    dir.file("public/version.txt", VERSION);
    let mut emulator = crate::support::bare()
        .args("emulator --listen 127.0.0.1:0 --edge-listen 127.0.0.1:0 --origin")
        .arg(dir.at("public"))
        .start();
    let mut after = |words: &str| emulator.line().trim().strip_prefix(words).unwrap().to_owned();
    let (api, edge) = (after("listening on "), after("edge on http://"));
    let binary = env!("CARGO_BIN_EXE_cfcache");
    let wrapper = format!("#!/bin/sh\nexec '{binary}' \"$@\" --verify-connect {edge}\n");
    std::fs::remove_file(dir.at(".bin/cfcache")).unwrap();
    let wrapper = dir.file(".bin/cfcache", wrapper);
    std::fs::set_permissions(wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let set = [("CLOUDFLARE_BASE_URL", &*api), ("VERSION", VERSION), ("CI_COMMIT_SHA", VERSION)];
    let result = run_set(block, &dir, &set);
    emulator.kill();
    let told = result?;
    let is_proven = told.contains("verified ") && told.contains("\nwarmed ") && !told.contains("NOT PROVEN");
    if block.script.contains("--verify") && !is_proven { Err(format!("it said {told}")) } else { Ok(()) }
}

/// Returns the difference between the block's requests and the expected ones, if any.
fn unexpected_requests(block: &Block, api: &Api) -> Option<String> {
    let sent = api.items();
    for (part, expected) in SENT.iter().filter(|(part, _)| block.script.contains(part)) {
        let expected: Vec<&str> = expected.to_vec();
        if sent != expected {
            return Some(format!("with `{part}` it sent {sent:?} instead of {expected:?}"));
        }
    }
    // Blocks with their own emulator send requests to that one, and check the result themselves.
    let has_its_own = block.script.contains("--emulator") || block.script.contains("cfcache emulator");
    let is_to_send = block.script.contains("cfcache ") && !has_its_own;
    (is_to_send && api.requests() == 0).then(|| "nothing was sent".to_owned())
}

/// Returns whether every tool is required: in CI on Linux, where all are installed.
fn needs_all_tools() -> bool {
    #[expect(clippy::disallowed_methods, reason = "a test is told by the environment where it runs")]
    let is_ci = std::env::var_os("CI").is_some();
    is_ci && cfg!(target_os = "linux")
}

/// Returns whether a block uses a tool that is not installed.
fn is_missing(tool: &str, block: &Block) -> bool {
    let mut words = block.script.split_whitespace();
    match tool {
        "--example" => {
            words.any(|word| word == tool) && words.next().is_some_and(|name| !examples().join(name).exists())
        }
        _ => words.any(|word| word == tool) && Command::new(tool).arg("--version").output().is_err(),
    }
}

/// Returns the folder in which cargo puts examples.
fn examples() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_cfcache")).parent().unwrap().join("examples")
}

/// Creates a directory with the files that a reader of a block would have.
fn block_directory(block: &Block) -> Dir {
    let dir = Dir::new();
    add_files(&dir);
    if block.script.contains("git ") {
        commit_twice(&dir);
    }
    if block.script.contains("public/sitemap.xml") {
        dir.file("public/sitemap.xml", SITEMAP);
    }
    if block.script.contains("CFCACHE_SHA256") {
        let name = "cfcache-0.1.0-x86_64-unknown-linux-musl";
        std::fs::create_dir(dir.at(name)).unwrap();
        symlink(dir.at(".bin/cfcache"), dir.at(name).join("cfcache")).unwrap();
        let mut tar = Command::new("tar");
        tar.current_dir(dir.path()).args(["-czf", ".archive.tar.gz", name]);
        assert!(run_with_timeout(tar).unwrap().status.success());
    }
    dir
}

/// Returns the digest of the archive that a block downloads, if any.
fn digest(dir: &Dir) -> String {
    if !dir.at(".archive.tar.gz").exists() {
        return String::new();
    }
    let mut sum = Command::new("sha256sum");
    sum.arg(dir.at(".archive.tar.gz"));
    run_with_timeout(sum)
        .map(|output| String::from_utf8_lossy(&output.stdout).chars().take(64).collect())
        .unwrap_or_default()
}

/// Runs a block in a directory, with additional variables.
fn run(block: &Block, dir: &Dir, api: &Api, set: &[(&str, &str)]) -> Result<(), String> {
    let set = [&[("CLOUDFLARE_BASE_URL", api.base())], set].concat();
    run_set(block, dir, &set).map(drop)
}

/// Runs a block, and returns its output.
fn run_set(block: &Block, dir: &Dir, set: &[(&str, &str)]) -> Result<String, String> {
    let bin = dir.at(".bin");
    #[expect(clippy::disallowed_methods, reason = "tools are where they are")]
    let path = std::env::var("PATH").unwrap();
    let mut shell = Command::new(block.shell);
    shell
        .args(["-eu", "-c", &block.script])
        .current_dir(dir.path())
        .env_clear()
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("HOME", dir.path())
        .env("EXAMPLES", examples())
        .env("CLOUDFLARE_API_TOKEN", TOKEN)
        .env("CLOUDFLARE_ZONE_ID", ZONE)
        .env("CFCACHE_SHA256", digest(dir))
        .envs(set.iter().copied());
    let output = run_with_timeout(shell)?;
    let told = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{}\n{}{told}", output.status, block.script))
    }
}

/// Waits for the end of a command, with a timeout.
fn run_with_timeout(mut command: Command) -> Result<Output, String> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    match receiver.recv_timeout(Duration::from_secs(60)) {
        Ok(output) => Ok(output.unwrap()),
        Err(_) => Err("it does not end".to_owned()),
    }
}

fn add_files(dir: &Dir) {
    for folder in ["public/blog", ".bin", ".credentials", ".state/cfcache"] {
        std::fs::create_dir_all(dir.at(folder)).unwrap();
    }
    for (name, script) in
        [("cargo", CARGO), ("curl", CURL), ("rsync", RSYNC), ("aws", AWS), ("deploy.sh", "#!/bin/sh\n")]
    {
        let path = if name == "deploy.sh" { name.to_owned() } else { format!(".bin/{name}") };
        let path = dir.file(&path, script);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    symlink(env!("CARGO_BIN_EXE_cfcache"), dir.at(".bin/cfcache")).unwrap();
    for name in ["token.txt", ".cfcache-token", ".credentials/token"] {
        let path = dir.file(name, format!("{TOKEN}\n"));
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    for name in ["urls.txt", "nightly.txt"] {
        dir.file(name, "https://www.example.com/\nhttps://www.example.com/about\n");
    }
    dir.file("sitemap.xml", SITEMAP);
    dir.file("public/styles.css", "old");
    dir.file("public/gone.html", "");
    let deployed = std::fs::File::create(dir.at(".deployed")).unwrap();
    let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for path in ["public/styles.css", "public/gone.html"] {
        std::fs::File::options().append(true).open(dir.at(path)).unwrap().set_modified(long_ago).unwrap();
    }
    deployed.set_modified(long_ago + Duration::from_secs(1)).unwrap();
    dir.file("public/new.css", "");
}

/// Runs git, and returns its output.
fn git(dir: &Dir, arguments: &[&str]) -> String {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .current_dir(dir.path())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    let output = run_with_timeout(git).unwrap();
    assert!(output.status.success(), "git {arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Makes a repository of a directory, with the changes of `CHANGED` in the last commit, and a remote.
fn commit_twice(dir: &Dir) {
    git(dir, &["init", "--quiet"]);
    git(dir, &["add", "public"]);
    git(dir, &["commit", "--quiet", "--message=before"]);
    git(dir, &["init", "--quiet", "--bare", ".origin"]);
    git(dir, &["remote", "add", "origin", ".origin"]);
    dir.file("public/styles.css", "new");
    dir.file("public/blog/index.html", "");
    dir.file("public/a b.txt", "");
    dir.file("public/ü.html", "");
    std::fs::remove_file(dir.at("public/gone.html")).unwrap();
    git(dir, &["add", "--all", "public"]);
    git(dir, &["commit", "--quiet", "--message=after"]);
}

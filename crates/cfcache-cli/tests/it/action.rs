//! Tests the script of the GitHub Action with a simulated runner: its environment and files, a tool cache, and a server
//! of releases. The archive contains a script that calls the tested binary, and `PATH` contains only the programs that
//! the action's page lists.

// `sha256sum`, which these tests use for digests, is not available everywhere.
#![cfg(target_os = "linux")]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::support::{Api, Dir, TOKEN, ZONE};

const ACTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.github/actions/purge");

/// The programs that the script may run: those on its page, and those of every system.
const PROGRAMS: [&str; 17] = [
    "awk",
    "bash",
    "cat",
    "curl",
    "dirname",
    "gzip",
    "head",
    "mkdir",
    "mktemp",
    "mv",
    "rm",
    "rmdir",
    "sh",
    "sha256sum",
    "tar",
    "tee",
    "tr",
];

/// The machine of a job: its state between steps.
struct Runner {
    dir: Dir,
    releases: String,
    downloads: Arc<AtomicU64>,
}

/// The result of a step.
#[derive(Debug)]
struct Step {
    code: i32,
    /// Standard output, followed by standard error.
    out: String,
    /// Standard error. The runner reads both streams, in no defined order.
    err: String,
    output: String,
    summary: String,
    path: String,
}

impl Runner {
    fn new() -> Self {
        Self::with_release(&format!("{}-unknown-linux-musl", std::env::consts::ARCH), "cfcache")
    }

    /// Creates a runner with a release for only one target, whose binary has that name.
    fn with_release(target: &str, program: &str) -> Self {
        let dir = Dir::new();
        let name = format!("cfcache-1.2.3-{target}");
        for folder in ["action", "tools", "temp", "bin", &format!("release/{name}")] {
            std::fs::create_dir_all(dir.at(folder)).unwrap();
        }
        for program in PROGRAMS {
            let found = ["/usr/bin", "/bin", "/usr/local/bin"].map(|folder| Path::new(folder).join(program));
            let found = found.iter().find(|path| path.exists()).unwrap_or_else(|| panic!("no {program}"));
            std::os::unix::fs::symlink(found, dir.at("bin").join(program)).unwrap();
        }
        std::fs::copy(format!("{ACTION}/purge.sh"), dir.at("action/purge.sh")).unwrap();
        let program_at = |path: &str, script: &str| {
            let path = dir.file(path, script);
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        let (system, machine) = match target.split_once('-').unwrap() {
            (machine, "pc-windows-msvc") => ("MINGW64_NT-10.0-26100", machine),
            ("aarch64", "apple-darwin") => ("Darwin", "arm64"),
            (machine, "apple-darwin") => ("Darwin", machine),
            (machine, _) => ("Linux", machine),
        };
        program_at("bin/uname", &format!("#!/bin/sh\n[ \"$1\" = -s ] && echo {system} || echo {machine}\n"));
        program_at(
            &format!("release/{name}/{program}"),
            &format!("#!/bin/sh\nexec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_cfcache")),
        );
        let archive = format!("{name}.tar.gz");
        let mut tar = Command::new("tar");
        tar.current_dir(dir.at("release")).args(["-czf", &archive, &name]);
        assert!(tar.status().unwrap().success());
        let sum = Command::new("sha256sum").current_dir(dir.at("release")).arg(&archive).output().unwrap();
        dir.file("action/digests.txt", sum.stdout);
        let content = std::fs::read(dir.at("release").join(&archive)).unwrap();
        let (releases, downloads) = serve(format!("/v1.2.3/{archive}"), content);
        Self { dir, releases, downloads }
    }

    /// Returns the report of the last run.
    #[track_caller]
    fn report(step: &Step) -> serde_json::Value {
        let report = step.output.lines().find_map(|line| line.strip_prefix("report=")).unwrap();
        serde_json::from_str(&std::fs::read_to_string(report).unwrap()).unwrap()
    }

    /// Runs the script as the action does, with inputs and other variables, and checks the conditions of every run.
    #[track_caller]
    fn run(&self, api: &Api, variables: &[(&str, &str)]) -> Step {
        let step = self.run_anywhere(api, variables);
        // The token appears only in the command that masks it.
        let shown = step.out.replace(&format!("::add-mask::{TOKEN}\n"), "");
        assert!(!format!("{shown}{}{}", step.output, step.summary).contains(TOKEN), "{step:#?}");
        // Every failed step explains the failure in an annotation.
        assert_eq!(step.code != 0, step.out.contains("::error title=cfcache::"), "{step:#?}");
        step
    }

    /// Runs the script.
    fn run_anywhere(&self, api: &Api, variables: &[(&str, &str)]) -> Step {
        self.run_script("action/purge.sh", api, variables)
    }

    /// Runs a script of this runner.
    fn run_script(&self, script_path: &str, api: &Api, variables: &[(&str, &str)]) -> Step {
        for name in ["output", "summary", "path"] {
            self.dir.file(name, "");
        }
        let mut script = Command::new("bash");
        script.arg(self.dir.at(script_path)).current_dir(self.dir.path()).env_clear();
        script.env("PATH", self.dir.at("bin")).env("GITHUB_ACTIONS", "true");
        script.envs([
            ("INPUT_BASE_URL", api.base()),
            ("INPUT_RELEASES", &self.releases),
            ("INPUT_ZONE", ZONE),
        ]);
        script.envs([("INPUT_API_TOKEN", TOKEN), ("INPUT_EVERYTHING", "false"), ("NO_PROXY", "127.0.0.1")]);
        script.envs([("RUNNER_TOOL_CACHE", self.dir.at("tools")), ("RUNNER_TEMP", self.dir.at("temp"))]);
        script.env("GITHUB_OUTPUT", self.dir.at("output")).env("GITHUB_STEP_SUMMARY", self.dir.at("summary"));
        script.env("GITHUB_PATH", self.dir.at("path"));
        script.envs(variables.iter().copied()).stdin(Stdio::null());
        let ran = script.output().unwrap();
        let err = String::from_utf8(ran.stderr).unwrap();
        Step {
            code: ran.status.code().unwrap(),
            out: String::from_utf8(ran.stdout).unwrap() + &err,
            err,
            output: self.dir.read("output"),
            summary: self.dir.read("summary"),
            path: self.dir.read("path"),
        }
    }
}

/// Serves one file over HTTP, and counts its downloads. Requests below `/moved` are redirected.
fn serve(path: String, content: Vec<u8>) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let downloads = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&downloads);
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut head = [0; 4096];
            let size = connection.read(&mut head).unwrap_or_default();
            let head = String::from_utf8_lossy(&head[..size]).into_owned();
            let (status, body) = match head.split(' ').nth(1).unwrap_or_default() {
                asked if asked == path => {
                    counter.fetch_add(1, Ordering::Relaxed);
                    ("200 OK".to_owned(), &content[..])
                }
                asked => match asked.strip_prefix("/moved") {
                    Some(to) => (format!("302 Found\r\nlocation: {to}"), &b""[..]),
                    None => ("404 Not Found".to_owned(), &b""[..]),
                },
            };
            let head =
                format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _gone = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(body));
        }
    });
    (url, downloads)
}

#[test]
fn purges_and_counts_each_kind() {
    let (runner, api) = (Runner::new(), Api::quick());
    runner.dir.file("list.txt", "https://www.example.com/c\n");
    for (input, value, accepted, items) in [
        (
            "INPUT_URLS",
            "https://www.example.com/a\n\nhttps://www.example.com/b\n",
            2,
            "https://www.example.com/b",
        ),
        ("INPUT_URLS_FROM", "list.txt", 1, "https://www.example.com/c"),
        ("INPUT_TAGS", "release-42", 1, "release-42"),
        ("INPUT_HOSTS", "www.example.com", 1, "www.example.com"),
        ("INPUT_PREFIXES", "www.example.com/blog", 1, "www.example.com/blog"),
        ("INPUT_EVERYTHING", "true", 1, ""),
    ] {
        let step = runner.run(&api, &[(input, value)]);
        assert_eq!(step.code, 0, "{input}: {step:#?}");
        assert!(
            step.output.starts_with(&format!("accepted={accepted}\nfailed=0\nrequests=1\nreport=")),
            "{step:#?}"
        );
        assert!(step.summary.contains(&format!("| {accepted} | 0 | 0 | 1 | 0 |")), "{step:#?}");
        assert!(items.is_empty() || api.items().iter().any(|item| item == items), "{input}");
        assert_eq!(Runner::report(&step)["accepted"], accepted);
    }
    assert!(api.bodies().contains(&r#"{"purge_everything":true}"#.to_owned()));
    assert_eq!(runner.downloads.load(Ordering::Relaxed), 1, "the tool cache keeps the binary");
}

#[test]
fn returns_the_exit_code_and_failures() {
    for (fault, code) in
        [("status=400,code=9999", 1), ("status=401,code=10000", 3), ("status=429,retry-after=3600", 4)]
    {
        let (runner, api) = (Runner::new(), Api::with_fault(fault));
        let step = runner.run(&api, &[("INPUT_URLS", "https://www.example.com/a")]);
        assert_eq!(step.code, code, "{fault}: {step:#?}");
        assert!(step.output.starts_with("accepted=0\nfailed=1\n"), "{step:#?}");
        assert!(step.summary.contains(&format!("| urls | 0 | 1 | 0 | 1 | {code} |")), "{step:#?}");
    }
}

#[test]
fn succeeds_after_temporary_429s() {
    let (runner, api) = (Runner::new(), Api::with_fault("status=429,retry-after=1,times=2"));
    let step = runner.run(&api, &[("INPUT_URLS", "https://www.example.com/a")]);
    assert_eq!(step.code, 0, "{step:#?}");
    assert!(step.output.starts_with("accepted=1\nfailed=0\nrequests=3\n"), "{step:#?}");
    assert_eq!(Runner::report(&step)["rate_limited"], 2);
}

#[test]
fn purges_changes_and_repeats_failed_ones_in_the_next_run() {
    let (runner, api) = (Runner::new(), Api::quick());
    std::fs::create_dir_all(runner.dir.at("public folder")).unwrap();
    runner.dir.file("public folder/a.css", "one");
    let inputs = [
        ("INPUT_CHANGED", "public folder"),
        ("INPUT_STATE", "site.state"),
        ("INPUT_URL", "https://www.example.com\nhttps://example.com/sub\n"),
    ];
    let step = runner.run(&api, &inputs);
    assert_eq!(step.code, 0, "{step:#?}");
    assert_eq!(api.items(), ["www.example.com", "example.com"]);
    assert!(step.summary.contains("| changed | 2 | 0 | 0 | 1 | 0 |"), "{step:#?}");

    api.log().clear();
    let step = runner.run(&api, &inputs);
    assert_eq!((step.code, api.requests()), (0, 0), "nothing changed: {step:#?}");

    runner.dir.file("public folder/a.css", "two");
    let failed = runner.run(&Api::with_fault("status=400,code=9999"), &inputs);
    assert!(failed.code == 1 && failed.output.contains("failed=2\n"), "{failed:#?}");
    runner.dir.file("public folder/a.css", "one");
    let step = runner.run(&api, &inputs);
    assert_eq!(step.code, 0, "{step:#?}");
    let mut items = api.items();
    items.sort();
    assert_eq!(items, ["https://example.com/sub/a.css", "https://www.example.com/a.css"]);

    // By the name of a site.
    runner.dir.file(
        ".cfcache.toml",
        "[site.www]\nroot = \"public folder\"\nurl = [\"https://www.example.com\"]\n[site.b]\nroot = \"b\"\nurl = [\"https://b.example.com\"]\n",
    );
    let named = [("INPUT_CHANGED", "public folder"), ("INPUT_STATE", "www.state"), ("INPUT_SITE", "www")];
    api.log().clear();
    let step = runner.run(&api, &named);
    assert_eq!((step.code, api.items()), (0, vec!["www.example.com".to_owned()]), "{step:#?}");

    for (inputs, part) in [
        (&[inputs[0], inputs[2]][..], "changed needs state"),
        (&[inputs[0], inputs[1], inputs[2], ("INPUT_TAGS", "a")], "only one of these"),
        (&[inputs[1], ("INPUT_TAGS", "a")], "`state` is for `changed`"),
        (&[("INPUT_CHANGED", "none"), named[1], named[2]], "none"),
        (&named[..2], "there are several sites"),
    ] {
        let step = runner.run(&api, inputs);
        assert!(step.code == 2 && step.out.contains(part), "{inputs:?}: {step:#?}");
    }
}

#[test]
fn passes_verification_inputs_as_options() {
    let (runner, api) = (Runner::new(), Api::quick());
    assert_eq!(runner.run(&api, &[("INPUT_TAGS", "a")]).code, 0);
    // Instead of the binary, a script that records its arguments.
    let digest = runner.dir.read("action/digests.txt")[..64].to_owned();
    let script = r#"#!/bin/sh
printf '%s\n' "$@" > arguments
for argument; do
  case $argument in --verify-from=*) cat "${argument#*=}" > list ;; esac
done
printf '{"accepted":1}'
"#;
    runner.dir.file(&format!("tools/cfcache/1.2.3/{digest}/cfcache"), script);
    let after = ("INPUT_AFTER", "https://origin.example.com/version.txt contains 42");
    let urls = ("INPUT_VERIFY_URLS", "https://www.example.com/\nhttps://www.example.com/a");
    let step = runner
        .run(&api, &[("INPUT_TAGS", "a"), ("INPUT_VERIFY", "true"), urls, after, ("INPUT_WARM", "true")]);
    assert_eq!(step.code, 0, "{step:#?}");
    let arguments = runner.dir.read("arguments");
    for wanted in ["--verify", "--after=https://origin.example.com/version.txt contains 42", "--warm"] {
        assert!(arguments.lines().any(|argument| argument == wanted), "no `{wanted}` in {arguments}");
    }
    assert_eq!(runner.dir.read("list"), format!("{}\n", urls.1));
    assert_eq!(runner.run(&api, &[("INPUT_TAGS", "a"), ("INPUT_VERIFY", "20")]).code, 0);
    assert!(runner.dir.read("arguments").contains("--verify=20\n"));
    assert_eq!(runner.run(&api, &[("INPUT_TAGS", "a")]).code, 0);
    assert!(!runner.dir.read("arguments").contains("--verify"));
}

#[test]
fn writes_at_most_ten_escaped_annotations() {
    // The same for a list that is refused before anything is sent, and for one that the API refuses.
    let (runner, api) = (Runner::new(), Api::quick());
    let hostile = r#"no-url%"\n"#;
    let step = runner.run(&api, &[("INPUT_URLS", hostile)]);
    let annotations = annotations(&step);
    assert_eq!((step.code, annotations.len()), (2, 1), "{step:#?}");
    let start = "an entry is invalid; nothing was sent%0A  standard input:1: `no-url%25\"\\n` does not begin";
    assert!(annotations[0].starts_with(start), "{step:#?}");
    assert_eq!(step.output.lines().next(), Some("accepted=0"));

    let api = Api::with_fault(r#"status=400,code=9999"#);
    let tags: String = (0..12).map(|index| format!("{index}%\"\\n\"error\":{{\n")).collect();
    let step = runner.run(&api, &[("INPUT_TAGS", &tags)]);
    let annotations = self::annotations(&step);
    assert_eq!((step.code, annotations.len()), (1, 10), "{step:#?}");
    for (index, annotation) in annotations[..9].iter().enumerate() {
        let start = format!("{index}%25\"\\n\"error\":{{: ");
        assert!(annotation.starts_with(&start) && annotation.len() > start.len() + 9, "{annotation}");
        assert!(!annotation.contains("documentation_url"), "{annotation}");
    }
    assert!(annotations[9].starts_with("0 accepted, 12 failed, 0 invalid"), "{step:#?}");
    assert!(step.output.starts_with("accepted=0\nfailed=12\n"), "{step:#?}");
}

/// Returns the texts of the errors that the runner shows.
fn annotations(step: &Step) -> Vec<&str> {
    step.out.lines().filter_map(|line| line.strip_prefix("::error title=cfcache::")).collect()
}

#[test]
fn selects_the_archive_for_each_runner() {
    for (target, program) in [
        ("x86_64-unknown-linux-musl", "cfcache"),
        ("aarch64-unknown-linux-musl", "cfcache"),
        ("x86_64-unknown-linux-gnu", "cfcache"),
        ("x86_64-apple-darwin", "cfcache"),
        ("aarch64-apple-darwin", "cfcache"),
        ("x86_64-pc-windows-msvc", "cfcache.exe"),
    ] {
        let (runner, api) = (Runner::with_release(target, program), Api::quick());
        // The queue's archive is not the archive of `cfcache`, and musl comes first.
        let digests = runner.dir.read("action/digests.txt");
        let others =
            digests.replace("cfcache-1.2.3", "cfcache-queue-1.2.3").replace(&digests[..64], &"0".repeat(64));
        runner.dir.file("action/digests.txt", format!("# A release.\n{others}{digests}"));
        let step = runner.run(&api, &[("INPUT_TAGS", "a")]);
        assert_eq!(step.code, 0, "{target}: {step:#?}");
    }
    let runner = Runner::with_release("riscv64-unknown-linux-musl", "cfcache");
    let step = runner.run(&Api::quick(), &[("INPUT_TAGS", "a")]);
    assert!(step.code == 2 && step.out.contains("no cfcache for Linux on riscv64"), "{step:#?}");
}

/// On Windows, the runner's folders start with a drive; here another prefix is used.
#[test]
fn translates_windows_folders_of_the_runner() {
    let (runner, api) = (Runner::with_release("x86_64-pc-windows-msvc", "cfcache.exe"), Api::quick());
    let cygpath = "#!/bin/sh\n[ \"$1\" = --unix ] && echo \"${2#D:}\" || echo \"D:$2\"\n";
    let cygpath = runner.dir.file("bin/cygpath", cygpath);
    std::fs::set_permissions(cygpath, std::fs::Permissions::from_mode(0o755)).unwrap();
    let folder = |name: &str| format!("D:{}", runner.dir.at(name).display());
    let (temporary, tools) = (folder("temp"), folder("tools"));
    let folders = [("RUNNER_TEMP", &temporary[..]), ("RUNNER_TOOL_CACHE", &tools)];
    let step = runner.run(&api, &[&folders[..], &[("INPUT_TAGS", "a")]].concat());
    assert_eq!((step.code, api.items()), (0, vec!["a".to_owned()]), "{step:#?}");
    assert!(step.output.contains(&format!("\nreport={temporary}/")), "{step:#?}");
    let step = runner.run(&api, &[&folders[..], &[("INPUT_SETUP_ONLY", "true")]].concat());
    assert!(step.code == 0 && step.path.starts_with(&tools), "{step:#?}");
}

#[test]
fn writes_no_workflow_commands_outside_of_github() {
    let (runner, api) = (Runner::new(), Api::quick());
    let elsewhere = ("GITHUB_ACTIONS", "");
    let report = runner.dir.at("report.json");
    let report = report.to_str().unwrap();
    let step = runner.run_anywhere(
        &api,
        &[elsewhere, ("INPUT_URLS", "https://www.example.com/a"), ("INPUT_REPORT", report)],
    );
    assert_eq!(step.code, 0, "{step:#?}");
    assert!(!step.out.contains("::") && !step.out.contains(TOKEN), "{step:#?}");
    assert!(runner.dir.read("report.json").contains("\"accepted\":1"));
    let step = runner.run_anywhere(&api, &[elsewhere, ("INPUT_URLS", "nothing")]);
    assert_eq!(step.code, 2, "{step:#?}");
    assert!(step.err.starts_with("error: an entry is invalid"), "{step:#?}");
    assert!(!step.out.contains("::") && !step.out.contains(TOKEN), "{step:#?}");
}

/// Returns the mapping that starts two lines below a text in a page: `NAME: VALUE`, all with the same indentation.
fn mapping<'a>(page: &'a str, after: &str) -> Vec<(&'a str, &'a str)> {
    let (_, below) = page.split_once(after).unwrap();
    let mut lines = below.lines().skip(2).peekable();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let first = indent(lines.peek().unwrap());
    let lines = lines.take_while(|line| indent(line) == first && line.contains(": "));
    lines.map(|line| line.trim().split_once(": ").unwrap()).collect()
}

fn recipes() -> String {
    std::fs::read_to_string(format!("{ACTION}/../../../docs/recipes.md")).unwrap()
}

#[test]
fn the_github_recipe_purges_changes() {
    let page = recipes();
    let inputs = mapping(&page, "uses: cfcache/cfcache/.github/actions/purge@");
    assert_eq!(inputs.len(), 5, "{inputs:?}");
    let inputs: Vec<(String, &str)> = inputs
        .into_iter()
        .map(|(name, value)| {
            let value = match value {
                "${{ secrets.CLOUDFLARE_PURGE_TOKEN }}" => TOKEN,
                "${{ vars.CLOUDFLARE_ZONE_ID }}" => ZONE,
                value => value,
            };
            assert!(!value.contains("${{"), "{value} has no value here");
            (format!("INPUT_{}", name.replace('-', "_").to_uppercase()), value)
        })
        .collect();
    let inputs: Vec<(&str, &str)> = inputs.iter().map(|(name, value)| (&name[..], *value)).collect();
    let (runner, api) = (Runner::new(), Api::quick());
    std::fs::create_dir_all(runner.dir.at("public")).unwrap();
    runner.dir.file("public/a.css", "one");
    assert_eq!(runner.run(&api, &inputs).code, 0);
    runner.dir.file("public/a.css", "two");
    assert_eq!(runner.run(&api, &inputs).code, 0);
    assert_eq!(api.items(), ["www.example.com", "https://www.example.com/a.css"]);
    // The state is saved and restored.
    let state = inputs.iter().find(|(name, _)| *name == "INPUT_STATE").unwrap().1;
    assert_eq!(page.matches(&format!("          path: {state}\n")).count(), 2);
    let action = std::fs::read_to_string(format!("{ACTION}/action.yml")).unwrap();
    for (name, _) in mapping(&page, "uses: cfcache/cfcache/.github/actions/purge@") {
        assert!(action.contains(&format!("\n  {name}:\n")), "the action has no input {name}");
    }
}

#[test]
fn the_gitlab_recipe_uses_inputs_of_the_component() {
    let component = std::fs::read_to_string(format!("{ACTION}/../../../templates/purge.yml")).unwrap();
    let page = recipes();
    let inputs = mapping(&page, "/templates/purge.yml");
    assert_eq!(inputs.len(), 4, "{inputs:?}");
    for (name, _) in inputs {
        assert!(component.contains(&format!("\n    {name}:\n      default: ")), "there is no input {name}");
    }
    // The job that the recipe extends has the name that the component gives it.
    assert!(component.contains("default: cfcache-purge\n") && page.contains("\ncfcache-purge:\n"));
}

/// The component contains the script. Another test checks that it is the current one.
#[test]
fn the_gitlab_component_runs_the_same_script() {
    let component = std::fs::read_to_string(format!("{ACTION}/../../../templates/purge.yml")).unwrap();
    let (head, script) = component.split_once("  script:\n    - |\n").unwrap();
    let script: String = script.lines().map(|line| format!("{}\n", line.get(6..).unwrap_or(""))).collect();
    let names: Vec<&str> = head
        .lines()
        .filter_map(|line| line.trim().split_once(':')?.0.strip_prefix("INPUT_").map(|_| line))
        .collect();
    assert_eq!(names.len(), 13, "{names:#?}");

    let (runner, api) = (Runner::new(), Api::quick());
    runner.dir.file("component.sh", script);
    std::fs::create_dir_all(runner.dir.at("public")).unwrap();
    runner.dir.file("public/a.css", "one");
    let digests = runner.dir.read("action/digests.txt");
    std::fs::remove_dir_all(runner.dir.at("action")).unwrap();
    let mut variables: Vec<(&str, &str)> = names
        .iter()
        .map(|line| line.trim().split_once(':').unwrap())
        .map(|(name, value)| (name, if value.contains("inputs.") { "" } else { value.trim() }))
        .collect();
    // Variables that GitLab's runner does not have.
    let unset = [
        "GITHUB_ACTIONS",
        "GITHUB_OUTPUT",
        "GITHUB_STEP_SUMMARY",
        "GITHUB_PATH",
        "RUNNER_TEMP",
        "RUNNER_TOOL_CACHE",
    ];
    variables.extend(unset.map(|name| (name, "")));
    let temporary = runner.dir.at("temp");
    variables.extend([
        ("TMPDIR", temporary.to_str().unwrap()),
        ("CFCACHE_DIGESTS", &digests),
        ("INPUT_API_TOKEN", ""),
    ]);
    variables.extend([("CLOUDFLARE_API_TOKEN", TOKEN), ("INPUT_ZONE", ZONE)]);
    let run = |inputs: &[(&str, &str)]| {
        let step = runner.run_script("component.sh", &api, &[&variables[..], inputs].concat());
        assert!(!step.out.contains("::") && !step.out.contains(TOKEN), "{step:#?}");
        step
    };
    let step = run(&[("INPUT_URLS", "https://www.example.com/a https://www.example.com/b")]);
    assert_eq!((step.code, api.items().len()), (0, 2), "{step:#?}");
    let report: serde_json::Value = serde_json::from_str(&runner.dir.read("cfcache-report.json")).unwrap();
    assert_eq!(report["accepted"], 2);
    let changed = [("INPUT_CHANGED", "public"), ("INPUT_URL", "https://www.example.com https://example.com")];
    assert_eq!(run(&changed).code, 0);
    assert!(runner.dir.at(".cfcache-state/site.state").exists());
    let step = run(&[]);
    assert!(step.code == 2 && step.out.contains("error: nothing to purge"), "{step:#?}");
}

#[test]
fn an_empty_list_is_an_error_unless_allowed() {
    let (runner, api) = (Runner::new(), Api::quick());
    runner.dir.file("empty.txt", "\n \n");
    runner.dir.file("array.txt", "[\n]\n");
    for inputs in [
        &[][..],
        &[("INPUT_URLS", " \n")],
        &[("INPUT_URLS", "[]")],
        &[("INPUT_TAGS", "# No tag.\n")],
        &[("INPUT_URLS_FROM", "empty.txt")],
        &[("INPUT_URLS_FROM", "array.txt")],
    ] {
        let step = runner.run(&api, inputs);
        assert_eq!(step.code, 2, "{inputs:?}: {step:#?}");
        let allowed = runner.run(&api, &[inputs, &[("INPUT_ALLOW_EMPTY", "true")]].concat());
        assert_eq!(
            (allowed.code, allowed.output.as_str()),
            (0, "accepted=0\nfailed=0\nrequests=0\n"),
            "{allowed:#?}"
        );
    }
    for (inputs, code) in [
        (&[("INPUT_URLS", "https://www.example.com/a"), ("INPUT_TAGS", "a")][..], 2),
        (&[("INPUT_HOSTS", "a"), ("INPUT_EVERYTHING", "true")], 2),
        (&[("INPUT_PREFIXES", "a/b"), ("INPUT_URLS_FROM", "empty.txt"), ("INPUT_ALLOW_EMPTY", "true")], 2),
        (&[("INPUT_EVERYTHING", "yes")], 2),
        (&[("INPUT_URLS_FROM", "missing.txt")], 2),
        (&[("INPUT_TAGS", "a"), ("INPUT_API_TOKEN", "")], 3),
    ] {
        let step = runner.run(&api, inputs);
        assert_eq!(step.code, code, "{inputs:?}: {step:#?}");
    }
    assert_eq!(api.requests(), 0);
}

#[test]
fn purges_a_list_that_is_allowed_to_be_empty() {
    let (runner, api) = (Runner::new(), Api::quick());
    let allowed = ("INPUT_ALLOW_EMPTY", "true");
    std::fs::create_dir_all(runner.dir.at("public")).unwrap();
    runner.dir.file("public/a.css", "one");
    // As cfcache reads lists: a carriage return ends a line, and thus a comment.
    runner.dir.file("list.txt", "# A list.\rhttps://www.example.com/b\r");
    for (inputs, items) in [
        (&[("INPUT_TAGS", "a")][..], 1),
        (&[("INPUT_URLS_FROM", "list.txt")], 1),
        (&[("INPUT_TAGS", "\n  # One.\n []a ")], 1),
        (&[("INPUT_URLS", r#"[ "https://www.example.com/a" ]"#)], 1),
        (&[("INPUT_EVERYTHING", "true")], 0),
        (&[("INPUT_CHANGED", "public"), ("INPUT_STATE", "s"), ("INPUT_URL", "https://www.example.com")], 1),
    ] {
        api.log().clear();
        let step = runner.run(&api, &[inputs, &[allowed]].concat());
        assert_eq!((step.code, api.items().len(), api.requests()), (0, items, 1), "{inputs:?}: {step:#?}");
    }
    // Invalid entries are still errors.
    for wrong in ["yes", "TRUE", "\n"] {
        let step = runner.run(&api, &[("INPUT_TAGS", "a"), ("INPUT_ALLOW_EMPTY", wrong)]);
        assert!(step.code == 2 && step.out.contains("takes true or false"), "{step:#?}");
    }
    let step = runner.run(&api, &[("INPUT_URLS_FROM", "missing.txt"), allowed]);
    assert_eq!(step.code, 2, "{step:#?}");
    std::fs::remove_file(runner.dir.at("bin/awk")).unwrap();
    let step = runner.run(&api, &[("INPUT_TAGS", "# None."), allowed]);
    assert!(step.code == 2 && step.out.contains("cannot read the list"), "{step:#?}");
}

#[test]
fn purges_long_lists_completely() {
    let (runner, api) = (Runner::new(), Api::quick());
    let list = |count: usize| -> String {
        (0..count).map(|index| format!("https://www.example.com/{index:076}\n")).collect()
    };
    // Lists as long as the kernel allows for one variable, and a file of 1 MB.
    runner.dir.file("list.txt", list(10_000));
    for (input, value, count) in
        [("INPUT_URLS", &list(1_250)[..], 1_250), ("INPUT_URLS_FROM", "list.txt", 10_000)]
    {
        let step = runner.run(&api, &[(input, value), ("INPUT_ALLOW_EMPTY", "true")]);
        assert_eq!(step.code, 0, "{input}: {step:#?}");
        assert!(step.output.starts_with(&format!("accepted={count}\nfailed=0\n")), "{step:#?}");
    }
}

#[test]
fn works_without_a_writable_tool_cache() {
    let (runner, api) = (Runner::new(), Api::quick());
    // A file instead of the folder, because root may write to any folder.
    runner.dir.file("none", "");
    let none = runner.dir.at("none");
    let none = ("RUNNER_TOOL_CACHE", none.to_str().unwrap());
    for downloads in 1..=2 {
        let step = runner.run(&api, &[none, ("INPUT_TAGS", "a")]);
        assert_eq!(step.code, 0, "{step:#?}");
        assert!(step.out.contains("::notice title=cfcache::cannot keep cfcache in "), "{step:#?}");
        assert_eq!(runner.downloads.load(Ordering::Relaxed), downloads);
    }
    let step = runner.run(&api, &[none, ("INPUT_SETUP_ONLY", "true")]);
    let installed = Path::new(step.path.trim()).join("cfcache");
    assert!(step.code == 0 && installed.is_file(), "{step:#?}");
}

#[test]
fn without_a_tool_cache_uses_a_private_folder() {
    let (runner, api) = (Runner::new(), Api::quick());
    let digest = runner.dir.read("action/digests.txt")[..64].to_owned();
    let folder = format!("temp/cfcache/1.2.3/{digest}");
    std::fs::create_dir_all(runner.dir.at(&folder)).unwrap();
    let planted = runner.dir.file(&format!("{folder}/cfcache"), "#!/bin/sh\ntouch planted\n");
    std::fs::set_permissions(planted, std::fs::Permissions::from_mode(0o755)).unwrap();
    let step = runner.run(&api, &[("RUNNER_TOOL_CACHE", ""), ("INPUT_TAGS", "a")]);
    assert_eq!((step.code, api.items()), (0, vec!["a".to_owned()]), "{step:#?}");
    assert!(!runner.dir.at("planted").exists(), "{step:#?}");
    // The report is kept, but neither the binary nor the list.
    let report = step.output.lines().find_map(|line| line.strip_prefix("report=")).unwrap();
    let left: Vec<_> = std::fs::read_dir(Path::new(report).parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn concurrent_installations_give_a_complete_binary() {
    let (runner, api) = (Runner::new(), Api::quick());
    let alone = [("GITHUB_OUTPUT", ""), ("GITHUB_STEP_SUMMARY", ""), ("INPUT_TAGS", "a")];
    std::thread::scope(|scope| {
        let steps: Vec<_> = (0..4).map(|_| scope.spawn(|| runner.run_anywhere(&api, &alone))).collect();
        for step in steps {
            let step = step.join().unwrap();
            assert_eq!(step.code, 0, "{step:#?}");
        }
    });
    let digest = runner.dir.read("action/digests.txt")[..64].to_owned();
    let folder = runner.dir.at(&format!("tools/cfcache/1.2.3/{digest}"));
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1, "something stays behind");
}

#[test]
fn accepts_any_names_of_runner_folders() {
    let (runner, api) = (Runner::new(), Api::quick());
    for folder in ["a folder", "-f", "it's \"quoted\"", "*", "$(touch owned)", "\u{fc}"] {
        let (temp, tools) = (format!("temp/{folder}"), format!("tools/{folder}"));
        std::fs::create_dir_all(runner.dir.at(&temp)).unwrap();
        let (temp, tools) = (runner.dir.at(&temp), runner.dir.at(&tools));
        let folders =
            [("RUNNER_TEMP", temp.to_str().unwrap()), ("RUNNER_TOOL_CACHE", tools.to_str().unwrap())];
        let step = runner.run(&api, &[&folders[..], &[("INPUT_TAGS", "a")]].concat());
        assert_eq!(step.code, 0, "{folder}: {step:#?}");
        assert_eq!(Runner::report(&step)["accepted"], 1);
    }
    assert!(!runner.dir.at("owned").exists());
    let step = runner.run(&api, &[("RUNNER_TEMP", "/nowhere"), ("INPUT_TAGS", "a")]);
    assert!(step.code == 2 && step.out.contains("cannot make a folder in /nowhere"), "{step:#?}");
}

#[test]
fn downloads_from_other_servers_and_refuses_invalid_archives() {
    let (runner, api) = (Runner::new(), Api::quick());
    let tags = ("INPUT_TAGS", "a");
    for (releases, code, part) in [
        (format!("{}/moved", runner.releases), 0, "1 accepted"),
        (format!("{}/", runner.releases), 0, "1 accepted"),
        (format!("{}/none", runner.releases), 5, "cannot download http://"),
        (format!("--proxy={}", runner.releases), 5, "cannot download --proxy="),
        ("http://127.0.0.1:1".to_owned(), 5, "cannot download http://127.0.0.1:1/v1.2.3/"),
    ] {
        let inputs = [("INPUT_RELEASES", &releases[..]), ("RUNNER_TOOL_CACHE", ""), tags];
        let step = runner.run(&api, &inputs);
        assert!(step.code == code && step.out.contains(part), "{releases}: {step:#?}");
    }
    let archive = format!("cfcache-1.2.3-{}-unknown-linux-musl.tar.gz", std::env::consts::ARCH);
    let content = std::fs::read(runner.dir.at(&format!("release/{archive}"))).unwrap();
    let (short, _) = serve(format!("/v1.2.3/{archive}"), content[..content.len() / 2].to_vec());
    let step = runner.run(&api, &[("INPUT_RELEASES", &short), tags]);
    assert!(step.code == 1 && step.out.contains("nothing of it was unpacked"), "{step:#?}");
    // The correct digest of a file that is not a release.
    let (other, _) = serve(format!("/v1.2.3/{archive}"), b"no archive".to_vec());
    let digest = "7275b9d1e6c0314c52bfca6c77534b8eaa3a8454a5c74b20e3e5f983e32c6877";
    runner.dir.file("action/digests.txt", format!("{digest}  {archive}\n"));
    let step = runner.run(&api, &[("INPUT_RELEASES", &other), tags]);
    assert!(step.code == 1 && step.out.contains("holds no cfcache-1.2.3-"), "{step:#?}");
}

/// macOS has `shasum`, but not `sha256sum`.
#[test]
fn checks_digests_with_sha256sum_or_shasum() {
    let (runner, api) = (Runner::new(), Api::quick());
    let sha256sum = std::fs::read_link(runner.dir.at("bin/sha256sum")).unwrap();
    std::fs::remove_file(runner.dir.at("bin/sha256sum")).unwrap();
    let tags = [("INPUT_TAGS", "a")];
    let step = runner.run(&api, &tags);
    assert!(step.code == 2 && step.out.contains("neither sha256sum nor shasum is here"), "{step:#?}");
    let shasum = format!("#!/bin/sh\n[ \"$*\" = '-a 256' ] && exec '{}'\n", sha256sum.display());
    let shasum = runner.dir.file("bin/shasum", shasum);
    std::fs::set_permissions(shasum, std::fs::Permissions::from_mode(0o755)).unwrap();
    let step = runner.run(&api, &tags);
    assert_eq!(step.code, 0, "{step:#?}");
}

#[test]
fn works_without_files_of_the_runner() {
    let (runner, api) = (Runner::new(), Api::quick());
    let none = ["GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_PATH"].map(|name| (name, ""));
    for inputs in [("INPUT_TAGS", "a"), ("INPUT_SETUP_ONLY", "true")] {
        let step = runner.run(&api, &[&none[..], &[inputs]].concat());
        assert_eq!(step.code, 0, "{step:#?}");
    }
}

#[test]
fn refuses_an_archive_with_another_digest() {
    let (runner, api) = (Runner::new(), Api::quick());
    let digests = runner.dir.read("action/digests.txt");
    let tags = [("INPUT_TAGS", "a")];
    runner.dir.file("action/digests.txt", format!("{}{}", "0".repeat(64), &digests[64..]));
    let step = runner.run(&api, &tags);
    assert!(step.code == 1 && step.out.contains("nothing of it was unpacked"), "{step:#?}");
    runner.dir.file("action/digests.txt", "# No release.\n");
    let step = runner.run(&api, &tags);
    assert!(step.code == 2 && step.out.contains("no digest for"), "{step:#?}");
    // No part of it remains: with the correct digest, it is downloaded and works.
    runner.dir.file("action/digests.txt", &digests);
    assert_eq!(runner.run(&api, &tags).code, 0);
    runner.dir.file("action/digests.txt", digests.replace("1.2.3", "1.2.4"));
    let step = runner.run(&api, &tags);
    assert!(step.code == 5 && step.out.contains("cannot download"), "{step:#?}");
}

#[test]
fn hostile_values_cannot_inject_commands() {
    let (runner, api) = (Runner::new(), Api::quick());
    let here = || std::fs::read_dir(runner.dir.path()).unwrap().count();
    let hostile = [
        "\"; touch owned; rm -rf / #",
        "$(touch owned)",
        "`touch owned`",
        "${{ secrets.TOKEN }}",
        "::error::owned",
        "::stop-commands::owned",
        "--base-url=http://127.0.0.1:1",
        "https://www.example.com/%0A::error::owned?a=\"b\"&accepted\":99",
        "a\r::error::owned\r\n  ::add-mask::owned",
        "::set-output name=accepted::99",
        "accepted=99",
        "-rf",
        "--help",
        "*",
        "[!a]?",
        "~/\\n\\'",
        "\u{1b}[31m::\u{fc}\u{202e}\u{feff}",
    ];
    runner.run(&api, &[("INPUT_TAGS", "a")]);
    let before = here();
    // Each value alone, and all as the lines of one value.
    let lines = hostile.join("\n");
    let alone = hostile.iter().flat_map(|value| [("INPUT_URLS", *value), ("INPUT_TAGS", value)]);
    let together = [
        "INPUT_URLS",
        "INPUT_URLS_FROM",
        "INPUT_HOSTS",
        "INPUT_CHANGED",
        "INPUT_STATE",
        "INPUT_URL",
        "INPUT_SITE",
        "INPUT_VERIFY",
        "INPUT_VERIFY_URLS",
        "INPUT_AFTER",
        "INPUT_WARM",
        "INPUT_ZONE",
        "INPUT_API_TOKEN",
        "INPUT_BASE_URL",
        "INPUT_RELEASES",
        "INPUT_EVERYTHING",
        "INPUT_ALLOW_EMPTY",
        "INPUT_SETUP_ONLY",
        "PURGE_URLS",
        "PURGE_TAGS",
    ];
    for (input, value) in alone.chain(together.map(|input| (input, &lines[..]))) {
        let mut variables = match input {
            "INPUT_URLS" | "INPUT_TAGS" | "INPUT_URLS_FROM" | "INPUT_HOSTS" => vec![],
            "INPUT_CHANGED" | "INPUT_STATE" | "INPUT_URL" | "INPUT_SITE" => {
                vec![("INPUT_CHANGED", "tools"), ("INPUT_STATE", "temp/state")]
            }
            "INPUT_SETUP_ONLY" | "PURGE_URLS" | "PURGE_TAGS" => vec![],
            // Nothing is installed yet, so this is the address of the download.
            "INPUT_RELEASES" => vec![("INPUT_TAGS", "a"), ("RUNNER_TOOL_CACHE", "")],
            _ => vec![("INPUT_TAGS", "a")],
        };
        variables.push((input, value));
        let step = runner.run(&api, &variables);
        assert_eq!(here(), before, "{input}={value} left something behind: {step:#?}");
        assert_commands_are_ours(&step);
        assert!(!step.output.contains("=99") && step.output.lines().count() <= 4, "{step:#?}");
    }
    // The lines of one value, and of a token with two lines, are masked line by line.
    let step = runner.run(&api, &[("INPUT_API_TOKEN", "one\n::error::two"), ("INPUT_TAGS", "a")]);
    assert!(step.out.contains("::add-mask::one\n") && step.code != 0, "{step:#?}");
}

/// Checks that all workflow commands are intended ones, and that there are none while commands are paused.
#[track_caller]
fn assert_commands_are_ours(step: &Step) {
    let mut pause: Option<String> = None;
    assert!(step.err.lines().all(|line| !line.trim_start().starts_with("::")), "{step:#?}");
    for line in step.out.lines().map(str::trim_start) {
        match &pause {
            Some(end) if line == end => pause = None,
            Some(_) => {}
            None => {
                if let Some(token) = line.strip_prefix("::stop-commands::") {
                    assert!(token.starts_with("stop-"), "{step:#?}");
                    pause = Some(format!("::{token}::"));
                } else if line.starts_with("::") {
                    let known = ["::add-mask::", "::error title=cfcache::", "::notice title=cfcache::"];
                    assert!(known.iter().any(|known| line.starts_with(known)), "`{line}` of {step:#?}");
                }
            }
        }
    }
    assert_eq!(pause, None, "commands stay paused: {step:#?}");
}

#[test]
fn accepts_input_names_of_other_actions_with_a_notice() {
    let (runner, api) = (Runner::new(), Api::quick());
    let step = runner.run(
        &api,
        &[
            ("INPUT_ZONE", ""),
            ("INPUT_API_TOKEN", ""),
            ("CLOUDFLARE_ZONE", ZONE),
            ("CLOUDFLARE_TOKEN", TOKEN),
            ("PURGE_URLS", r#"["https://www.example.com/a", "https://www.example.com/b"]"#),
        ],
    );
    assert_eq!(step.code, 0, "{step:#?}");
    assert_eq!(api.items(), ["https://www.example.com/a", "https://www.example.com/b"]);
    for name in ["CLOUDFLARE_ZONE", "CLOUDFLARE_TOKEN", "PURGE_URLS"] {
        assert!(
            step.out.contains(&format!("::notice title=cfcache::used {name} from the environment")),
            "{step:#?}"
        );
    }
}

#[test]
fn setup_only_installs_without_purging() {
    let (runner, api) = (Runner::new(), Api::quick());
    let step = runner.run(&api, &[("INPUT_SETUP_ONLY", "true"), ("INPUT_API_TOKEN", "")]);
    assert_eq!((step.code, api.requests()), (0, 0), "{step:#?}");
    let version =
        Command::new(Path::new(step.path.trim()).join("cfcache")).arg("--version").output().unwrap();
    assert!(version.stdout.starts_with(b"cfcache "), "{version:?}");
    // An input without effect must not be a success.
    let step = runner.run(&api, &[("INPUT_SETUP_ONLY", "true"), ("INPUT_TAGS", "a")]);
    assert!(step.code == 2 && step.out.contains("setup-only purges nothing"), "{step:#?}");
    let step = runner.run(&api, &[("INPUT_SETUP_ONLY", "true"), ("PURGE_TAGS", "a")]);
    assert!(step.code == 0 && !step.out.contains("PURGE_TAGS"), "{step:#?}");
}

#[test]
fn passes_every_input_only_as_a_variable() {
    let action = std::fs::read_to_string(format!("{ACTION}/action.yml")).unwrap();
    let script = std::fs::read_to_string(format!("{ACTION}/purge.sh")).unwrap();
    let (inputs, rest) = action.split_once("outputs:\n").unwrap();
    let names: Vec<&str> = inputs
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'))
        .filter(|name| !name.starts_with(' '))
        .collect();
    assert_eq!(names.len(), 20);
    for name in &names {
        let variable = format!("INPUT_{}", name.replace('-', "_").to_uppercase());
        assert_eq!(rest.matches(&format!("{variable}: ${{{{ inputs.{name} }}}}\n")).count(), 1, "{name}");
        let read = script.contains(&variable) || ["tags", "hosts", "prefixes"].contains(name);
        assert!(read, "purge.sh does not read {variable}");
    }
    assert_eq!(action.matches("${{ inputs.").count(), names.len(), "an input is used elsewhere, too");
}

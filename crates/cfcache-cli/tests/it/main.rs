//! The binary as people and scripts meet it: arguments and files in, standard output, standard error and an exit code
//! out, against the emulator. What it sent is read from the emulator's log.

#![expect(clippy::unwrap_used, reason = "in a test, what is not there is a failure")]

mod abandoned;
mod config;
mod credentials;
mod emulator;
mod exits;
mod faults;
mod input;
mod journal;
mod kills;
mod lists;
mod outputs;
mod plans;
mod recipes;
mod routing;
mod schema;
mod scope;
mod secrets;
mod signals;
mod support;
mod terminal;
mod tls;
mod usage;

/// A module that is not in the list above would never run.
#[test]
fn no_forgotten_files() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let main = std::fs::read_to_string(directory.join("main.rs")).unwrap();
    for file in std::fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(module == "main" || main.contains(&format!("\nmod {module};\n")), "{module} is forgotten");
    }
}

//! `cfcache-queue`: the command-line program and services, built on the library of the same name.

mod args;
mod command;
mod console;

use std::process::ExitCode;

use cfcache_app::config::EnvVars;

fn main() -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "only binaries read the environment")]
    let environment = EnvVars::read_all(|name| std::env::var(name));
    let exit = match args::parse(std::env::args_os()) {
        Ok(args) => command::execute(args, &environment),
        Err(usage) => console::usage(&usage),
    };
    ExitCode::from(exit.code())
}

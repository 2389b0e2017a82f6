//! `cfcache`: the command line of the Cloudflare Cache API.

mod args;
mod command;
mod confirm;
mod progress;
mod render;
mod resolve;

use std::process::ExitCode;

use cfcache_app::{
    config, credentials, domain, exit, failure, job, report, same_file, secret, session, source,
};

fn main() -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "this is the place that may")]
    let environment = config::EnvVars::read_all(|name| std::env::var(name));
    let exit = match args::parse() {
        Ok(args) => {
            let terminal = render::Terminal::new(&args.global, &environment);
            let logs = render::Terminal::begin_log(&args.global, &environment);
            match logs.and_then(|()| resolve::task(args, &environment, &terminal)) {
                Ok(task) => command::execute(task, &terminal),
                Err(failure) => terminal.failure(&failure),
            }
        }
        Err(usage) => render::usage(&usage, &environment),
    };
    ExitCode::from(exit.code())
}

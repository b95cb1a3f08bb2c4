//! stub
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == "runner") {
        return leafcron::runtime::runner_main(arguments);
    }
    ExitCode::SUCCESS
}

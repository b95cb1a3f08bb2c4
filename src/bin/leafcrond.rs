//! The device's agent: `leafcrond [--config FILE] [--check]`. One binary, several kinds of process: `leafcrond runner` is
//! what the agent starts for each Run, `leafcrond link` what speaks with the centre for it.
//!
//! Exit status: 0 done, 1 the answer is no (a rejected definition; an agent that cannot go on), 2 it could not be asked
//! (usage, an unreadable or refused configuration).

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use leafcron::agent::{self, chain};
use leafcron::config::Config;
use leafcron::{link, runtime};

const USAGE: &str = "\
usage: leafcrond [--config FILE] [--check]
       leafcrond --help | --version

  --config FILE  read FILE; without it the default file, if there is one, or defaults alone
  --check        judge the configuration and the jobs directory, and exit:
                 0 all is well, 1 a definition is refused, 2 it could not be judged

RUST_LOG sets the log level (error warn info debug trace), to stderr.";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Order {
    Live { config: Option<PathBuf> },
    Check { config: Option<PathBuf> },
    Say(&'static str),
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next();
    if first.as_deref().is_some_and(|word| word == "runner") {
        return runtime::runner_main(arguments);
    }
    if first.as_deref().is_some_and(|word| word == "link") {
        log_to_stderr();
        return link::link_main(arguments);
    }
    match order(first.into_iter().chain(arguments)) {
        Ok(Order::Live { config }) => {
            log_to_stderr();
            live(config.as_deref())
        }
        Ok(Order::Check { config }) => check(config.as_deref()),
        Ok(Order::Say(text)) => say(text),
        Err(wrong) => {
            complain(&format!("leafcrond: {wrong}\n{USAGE}"));
            ExitCode::from(2)
        }
    }
}

/// Reads the command line.
fn order(arguments: impl Iterator<Item = OsString>) -> Result<Order, String> {
    let mut config = None;
    let mut check = false;
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--help" | "-h") => return Ok(Order::Say(USAGE)),
            Some("--version" | "-V") => {
                return Ok(Order::Say(concat!("leafcrond ", env!("CARGO_PKG_VERSION"))));
            }
            Some("--check") => check = true,
            Some("--config" | "-c") => {
                let file = arguments.next().ok_or("--config needs the name of a file")?;
                config = Some(PathBuf::from(file));
            }
            Some(word) if word.starts_with("--config=") => {
                config = word.strip_prefix("--config=").map(PathBuf::from);
            }
            _ => return Err(format!("unknown argument {}", argument.to_string_lossy())),
        }
    }
    Ok(if check { Order::Check { config } } else { Order::Live { config } })
}

fn live(file: Option<&Path>) -> ExitCode {
    let config = match Config::load(file) {
        Ok(config) => config,
        Err(error) => {
            complain(&format!("leafcrond: {}", chain(&error)));
            return ExitCode::from(2);
        }
    };
    match agent::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn check(file: Option<&Path>) -> ExitCode {
    let checked = Config::load(file)
        .map_err(|error| chain(&error))
        .and_then(|config| agent::check(&config).map_err(|error| chain(&error)));
    match checked {
        Ok(report) => {
            for line in &report.warnings {
                complain(&format!("leafcrond: warning: {line}"));
            }
            for row in &report.rejected {
                complain(&row.to_string());
            }
            let said = say(&format!("{} jobs accepted, {} refused", report.accepted, report.rejected.len()));
            if report.rejected.is_empty() { said } else { ExitCode::FAILURE }
        }
        Err(wrong) => {
            complain(&format!("leafcrond: {wrong}"));
            ExitCode::from(2)
        }
    }
}

/// Under journald, which stamps each line itself, lines carry no time.
fn log_to_stderr() {
    let mut logger = env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info"));
    logger.format(|to, record| {
        let level = record.level().as_str().to_ascii_lowercase();
        let text = printable(&record.args().to_string());
        if std::env::var_os("JOURNAL_STREAM").is_some() {
            writeln!(to, "{level}: {text}")
        } else {
            writeln!(to, "{} {level}: {text}", agent::wall_clock())
        }
    });
    logger.init();
}

/// What a server or a job says may not move a terminal's cursor, nor look like a line of ours.
fn printable(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

fn say(text: &str) -> ExitCode {
    match writeln!(io::stdout().lock(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(text: &str) {
    // Without a stderr there is nobody to tell; the exit status says it.
    writeln!(io::stderr().lock(), "{text}").unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Order, String> {
        order(words.iter().map(OsString::from))
    }

    #[test]
    fn the_command_line_is_read_strictly() {
        let config = Some(PathBuf::from("x"));
        assert_eq!(read(&[]), Ok(Order::Live { config: None }));
        assert_eq!(read(&["--config", "x"]), Ok(Order::Live { config: config.clone() }));
        assert_eq!(read(&["--config=x", "--check"]), Ok(Order::Check { config }));
        assert_eq!(read(&["--help"]), Ok(Order::Say(USAGE)));
        for words in [&["--config"][..], &["x"], &["--chekc"]] {
            assert!(read(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_log_line_is_one_line() {
        assert_eq!(printable("5 °C\n2026 error: x\u{1b}[2J"), "5 °C\\n2026 error: x\\u{1b}[2J");
    }
}

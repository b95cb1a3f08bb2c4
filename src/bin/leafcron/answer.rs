//! What a command comes to: text for stdout, text for stderr, an exit status. Made first and printed once, at the end.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

/// A command that was carried out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// For stdout.
    pub(crate) out: String,
    /// For stderr.
    pub(crate) err: String,
    /// 0: done; 1: the answer is no; else what a job exited with.
    pub(crate) code: u8,
}

/// A command that was not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The answer is no: exit status 1.
    No(String),
    /// It could not be asked: exit status 2.
    CannotAsk(String),
}

impl Answer {
    /// Text for stdout.
    pub(crate) fn text(out: impl Into<String>) -> Self {
        Self { out: out.into(), ..Self::default() }
    }

    /// One line of JSON for stdout.
    pub(crate) fn json(value: &impl Serialize) -> Result<Self, Failure> {
        serde_json::to_string(value)
            .map(|text| Self::text(text + "\n"))
            .map_err(|error| Failure::CannotAsk(format!("cannot write the answer as JSON: {error}")))
    }

    /// Exits with this status.
    pub(crate) fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }
}

/// Prints and gives the exit status. A reader that has seen enough (`| head`) is no error.
pub(crate) fn print(result: Result<Answer, Failure>) -> ExitCode {
    match result {
        Ok(answer) => {
            let written = write_all(&mut io::stdout().lock(), &answer.out);
            if let Err(error) = written {
                say(&format!("leafcron: cannot print the answer: {error}\n"));
                return ExitCode::from(2);
            }
            say(&answer.err);
            ExitCode::from(answer.code)
        }
        Err(Failure::No(message)) => {
            say(&format!("leafcron: {message}\n"));
            ExitCode::from(1)
        }
        Err(Failure::CannotAsk(message)) => {
            say(&format!("leafcron: {message}\n"));
            ExitCode::from(2)
        }
    }
}

/// Prints on stderr. Where that fails there is nowhere left to say so.
pub(crate) fn say(text: &str) {
    write_all(&mut io::stderr().lock(), text).ok();
}

fn write_all(to: &mut impl Write, text: &str) -> io::Result<()> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// An error and what lies behind it, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

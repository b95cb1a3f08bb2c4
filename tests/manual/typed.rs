//! What the documents and units type: each `leafcron …` is one that the command line takes.

use std::fs;
use std::path::Path;

use clap::{CommandFactory, Parser};

use super::super::{pages, read};

/// Splits a line as a shell does, as far as these documents need it: quotes, and what ends a command.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, '|' | '&' | ';' | '>') => break,
            (None, '#') if word.is_none() => break,
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The lines that a document has the reader type.
fn typed(text: &str) -> Vec<Vec<String>> {
    let mut lines = Vec::new();
    for block in text.split("```sh\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default().replace("\\\n", " ");
        for line in block.lines() {
            let line = words(line.trim().trim_start_matches("sudo "));
            if line.first().is_some_and(|program| program == "leafcron") {
                lines.push(line);
            }
        }
    }
    lines
}

fn is_taken(line: &[String], place: &str) {
    if let Err(error) = pages::Cli::try_parse_from(line) {
        panic!("{place}: {}: {error}", line.join(" "));
    }
}

/// Every document of this kind.
fn documents() -> Vec<String> {
    let docs = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")).unwrap();
    let names = docs.map(|file| format!("docs/{}", file.unwrap().file_name().into_string().unwrap()));
    names.filter(|name| name.ends_with(".md")).chain(["README.md".to_owned()]).collect()
}

#[test]
fn what_the_documents_type_is_taken() {
    let mut count = 0;
    for document in documents() {
        for line in typed(&read(&document)) {
            is_taken(&line, &document);
            count += 1;
        }
    }
    assert!(count > 10, "only {count} lines were found");
}

#[test]
fn what_the_units_call_is_taken() {
    let mut called = Vec::new();
    for unit in ["leafcrond.service", "leafcrond-shutdown.service", "user/leafcrond.service"] {
        let text = read(&format!("systemd/{unit}"));
        for (at, _) in text.match_indices("/usr/bin/leafcron ") {
            let line = words(text[at..].lines().next().unwrap_or_default());
            is_taken(&line, unit);
            called.push(line[1].clone());
        }
    }
    assert_eq!(called, ["reload", "end-runs", "reload"]);
}

#[test]
fn every_verb_that_is_named_in_prose_is_one() {
    let command = pages::Cli::command();
    let manual = ["docs/man/leafcron-jobs.5", "docs/man/leafcrond.8", "docs/man/leafcrond.toml.5"];
    let pages = manual.map(|page| (page.to_owned(), "\n.B leafcron "));
    for (document, mark) in documents().into_iter().map(|name| (name, "`leafcron ")).chain(pages) {
        for rest in read(&document).replace("\\-", "-").split(mark).skip(1) {
            let verb: String = rest.chars().take_while(|&c| c.is_ascii_alphanumeric() || c == '-').collect();
            let known = verb.is_empty() || verb.starts_with('-') || command.find_subcommand(&verb).is_some();
            assert!(known, "{document}: leafcron {verb}");
        }
    }
}

//! The `%` of crontab(5): the first that no backslash precedes ends the command, and what follows is its standard input,
//! where each further one is the end of a line. `\%` is a percent sign; any other backslash is left alone.
//!
//! Source: crontab(5), and what cronie's daemon is seen to do where that is silent: in the command a backslash that is
//! itself preceded by one protects nothing, in the input each backslash does.

/// The command, and what it reads: whole lines. `None`: nothing, at once at its end.
pub(super) fn split(text: &str) -> (String, Option<String>) {
    let mut command = String::new();
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '%' if escaped => {
                command.pop();
                command.push('%');
            }
            '%' => return (command, input(text.get(at + 1..).unwrap_or_default())),
            c => command.push(c),
        }
        escaped = c == '\\' && !escaped;
    }
    (command, None)
}

fn input(text: &str) -> Option<String> {
    let mut lines = String::new();
    let mut backslash = false;
    for c in text.chars() {
        match c {
            '%' if backslash => {
                lines.pop();
                lines.push('%');
            }
            '%' => lines.push('\n'),
            c => lines.push(c),
        }
        backslash = c == '\\';
    }
    if !lines.is_empty() && !lines.ends_with('\n') {
        lines.push('\n');
    }
    Some(lines).filter(|lines| !lines.is_empty())
}

/// A text for `/bin/sh -c` that runs `command` by `shell` as cron does, with `input`, whole lines, to read from a pipe. A
/// here-document would read better: dash 0.5.12 garbles one with a line that begins as its end does and goes on in UTF-8.
pub(super) fn with_input(shell: &str, command: &str, input: &str) -> String {
    let input = input.strip_suffix('\n').unwrap_or(input);
    format!("printf '%s\\n' {} | {} -c {}", quote(input), word(shell), quote(command))
}

/// One word of a shell, in quotes if it needs any.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { quote(text) }
}

/// One word of a shell, in quotes.
pub(super) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;
    use std::process::Command;

    const SEED: RngSeed = RngSeed::Fixed(0x1eaf_c407);

    #[test]
    fn the_first_percent_ends_the_command_and_the_others_are_lines() {
        for (text, command, input) in [
            ("date", "date", None),
            (r"date +\%F", "date +%F", None),
            (r"a \\% b", r"a \\", Some(" b\n")),
            (r"a \x \", r"a \x \", None),
            ("cat%", "cat", None),
            ("cat%%", "cat", Some("\n")),
            ("cat%a", "cat", Some("a\n")),
            ("cat%a%", "cat", Some("a\n")),
            (r"cat%5\% \n %b", "cat", Some("5% \\n \nb\n")),
            (r"cat%a\\%b\", "cat", Some("a\\%b\\\n")),
            (
                "mail -s \"It's 10pm\" joe%Joe,%%Where?%",
                "mail -s \"It's 10pm\" joe",
                Some("Joe,\n\nWhere?\n"),
            ),
        ] {
            let expected = (command.to_owned(), input.map(str::to_owned));
            assert_eq!(split(text), expected, "{text}");
        }
    }

    fn run(text: &str) -> Vec<u8> {
        Command::new("/bin/sh").args(["-c", text]).output().unwrap().stdout
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, rng_seed: SEED, ..ProptestConfig::default() })]

        #[test]
        fn what_a_command_reads_is_what_was_written(
            input in "[ -~é\\\\'\"$`]{0,12}(\n[ -~é\\\\'%$`]{0,12}){0,4}\n",
            said in "[ -~é]{0,20}",
        ) {
            let command = format!("printf %s {}; cat", quote(&said));
            let out = run(&with_input("/bin/sh", &command, &input));
            prop_assert_eq!(String::from_utf8(out).unwrap(), format!("{said}{input}"));
        }
    }
}

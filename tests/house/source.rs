//! Reads a Rust source as far as the table of edges needs it: comments, strings and character literals are left out,
//! `use` trees are unfolded, and every path is made absolute. No macro is expanded; what one makes up is not seen.

/// A word or a mark of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    text: String,
    line: usize,
}

impl Token {
    fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// How a path stands in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A leaf of a `use` tree.
    Use,
    /// Anywhere else.
    Inline,
}

/// A path that a source mentions, absolute where it begins with `crate`, `self`, `super` or the library's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mention {
    /// Its parts; the first is `crate` for what lies in this house.
    pub(crate) path: Vec<String>,
    /// The line, from 1.
    pub(crate) line: usize,
    /// How it stands there.
    pub(crate) place: Place,
    /// The name that `as` gives it.
    pub(crate) alias: Option<String>,
}

/// Every path and every lone word of `text`, which is the module `module` (its parts below the crate's root).
pub(crate) fn mentions(text: &str, module: &[&str]) -> Vec<Mention> {
    let tokens = tokens(text);
    let mut reader = Reader { tokens: &tokens, at: 0, found: Vec::new() };
    let mut inside: Vec<(usize, String)> = Vec::new();
    let mut depth = 0_usize;
    while let Some(token) = reader.peek(0) {
        match token.text.as_str() {
            "{" => {
                depth += 1;
                reader.at += 1;
            }
            "}" => {
                depth = depth.saturating_sub(1);
                inside.pop_if(|(opened_at, _)| *opened_at == depth);
                reader.at += 1;
            }
            "mod" if reader.text(2) == "{" => {
                inside.push((depth, reader.text(1).to_owned()));
                reader.at += 2;
            }
            // `use<'a>` of a return type is no import.
            "use" if reader.text(1) != "<" => {
                reader.at += 1;
                let from = reader.found.len();
                reader.tree(&[]);
                reader.settle(from, module, &inside);
            }
            _ if token.is_word() => {
                let from = reader.found.len();
                reader.inline();
                reader.settle(from, module, &inside);
            }
            _ => reader.at += 1,
        }
    }
    reader.found
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    found: Vec<Mention>,
}

impl<'a> Reader<'a> {
    fn peek(&self, ahead: usize) -> Option<&'a Token> {
        self.tokens.get(self.at + ahead)
    }

    fn text(&self, ahead: usize) -> &'a str {
        self.peek(ahead).map_or("", |token| token.text.as_str())
    }

    /// A path outside a `use`.
    fn inline(&mut self) {
        let Some(first) = self.peek(0) else { return };
        let mut path = vec![first.text.clone()];
        self.at += 1;
        while self.text(0) == "::" && self.peek(1).is_some_and(Token::is_word) {
            path.push(self.text(1).to_owned());
            self.at += 2;
        }
        self.found.push(Mention { path, line: first.line, place: Place::Inline, alias: None });
    }

    /// One branch of a `use` tree below `prefix`, up to the `,` `}` or `;` that ends it.
    fn tree(&mut self, prefix: &[String]) {
        let mut path = prefix.to_vec();
        let mut alias = None;
        while let Some(token) = self.peek(0) {
            match token.text.as_str() {
                "::" => self.at += 1,
                "{" => return self.branches(&path),
                "as" => {
                    alias = Some(self.text(1).to_owned());
                    self.at += 2;
                }
                "," | "}" | ";" => {
                    let line = self.tokens.get(self.at - 1).map_or(token.line, |last| last.line);
                    self.found.push(Mention { path, line, place: Place::Use, alias });
                    return;
                }
                // `{self}` names what the tree hangs on; a leading `self` is a place to start from.
                "self" if !path.is_empty() => self.at += 1,
                part => {
                    path.push(part.to_owned());
                    self.at += 1;
                }
            }
        }
    }

    fn branches(&mut self, prefix: &[String]) {
        self.at += 1;
        while !matches!(self.text(0), "" | "}") {
            self.tree(prefix);
            if self.text(0) == "," {
                self.at += 1;
            }
        }
        self.at += 1;
    }

    /// Makes what was found since `from` absolute.
    fn settle(&mut self, from: usize, module: &[&str], inside: &[(usize, String)]) {
        let mut here: Vec<&str> = module.to_vec();
        here.extend(inside.iter().map(|(_, name)| name.as_str()));
        for mention in self.found.iter_mut().skip(from) {
            absolute(&mut mention.path, &here);
        }
    }
}

fn absolute(path: &mut Vec<String>, here: &[&str]) {
    let ups = path.iter().skip_while(|part| *part == "self").take_while(|part| *part == "super").count();
    let lead = ups + path.iter().take_while(|part| *part == "self").count();
    let base = match path.first().map(String::as_str) {
        Some("crate" | "leafcron") if path.len() > 1 || path == &["crate"] => {
            if let Some(root) = path.first_mut() {
                "crate".clone_into(root);
            }
            return;
        }
        Some("self") if path.len() > 1 => here.len(),
        Some("super") => here.len().saturating_sub(ups),
        _ => return,
    };
    let parts = here.iter().take(base).map(|part| (*part).to_owned());
    path.splice(..lead, std::iter::once("crate".to_owned()).chain(parts));
}

/// The words and marks of a source, without comments, strings and character literals.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let (length, keep) = lexeme(rest, first);
        let (lexeme, after) = rest.split_at(length);
        if keep {
            tokens.push(Token { text: lexeme.strip_prefix("r#").unwrap_or(lexeme).to_owned(), line });
        }
        line += lexeme.matches('\n').count();
        rest = after;
    }
    tokens
}

/// The length in bytes of what `rest` begins with, and whether the reader wants it.
fn lexeme(rest: &str, first: char) -> (usize, bool) {
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), false);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), false);
    }
    if let Some(length) = string(rest) {
        return (length, false);
    }
    if first == '\'' {
        return (quote(rest), false);
    }
    if rest.starts_with("::") {
        return (2, true);
    }
    let word = rest.strip_prefix("r#").map_or(0, |_| 2);
    let length = rest
        .char_indices()
        .skip(word)
        .find(|(_, c)| !(c.is_alphanumeric() || *c == '_'))
        .map_or(rest.len(), |(at, _)| at);
    if length > word { (length, true) } else { (first.len_utf8(), !first.is_whitespace()) }
}

/// Block comments nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(left) = rest.get(at..).filter(|left| !left.is_empty()) {
        if left.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if left.starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += left.chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// A string of any kind: `""`, `r#""#`, with `b` or `c` before it.
fn string(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix(['b', 'c']).unwrap_or(rest);
    if let Some(raw) = body.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let inner = raw.trim_start_matches('#').strip_prefix('"')?;
        let close = format!("\"{}", "#".repeat(hashes));
        let end = inner.find(&close).map_or(rest.len(), |at| rest.len() - inner.len() + at + close.len());
        return Some(end);
    }
    let inner = body.strip_prefix('"')?;
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return Some(rest.len() - inner.len() + at + 1),
            _ => escaped = false,
        }
    }
    Some(rest.len())
}

/// A character literal, or the mark and name of a lifetime.
fn quote(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        // The character after the backslash may be a quote itself.
        (Some((_, '\\')), Some(_)) => chars.find(|(_, c)| *c == '\'').map_or(rest.len(), |(at, _)| at + 1),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => rest
            .char_indices()
            .skip(1)
            .find(|(_, c)| !(c.is_alphanumeric() || *c == '_'))
            .map_or(rest.len(), |(at, _)| at),
    }
}

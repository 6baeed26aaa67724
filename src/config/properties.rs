//! The syntax of Java `.properties` files, as `java.util.Properties.load` reads it.

#[cfg(test)]
mod tests;

use super::error::ConfigError;

/// Reads the entries in order; a key may occur more than once, the last one counts.
///
/// `#` and `!` start a comment line, an odd number of backslashes at the end of a line joins the next one, the first
/// unescaped `=`, `:` or white space ends the key. Text is UTF-8, where Java would read ISO-8859-1.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, ConfigError> {
    let mut entries = Vec::new();
    let mut lines = text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'));
    while let Some(line) = lines.next() {
        let line = line.trim_start_matches(BLANK);
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = line.to_owned();
        while ends_in_continuation(&logical) {
            logical.pop();
            let Some(next) = lines.next() else { break };
            logical.push_str(next.trim_start_matches(BLANK));
        }
        let (key, value) = split(&logical);
        entries.push((unescape(key)?, unescape(value)?));
    }
    Ok(entries)
}

const BLANK: [char; 3] = [' ', '\t', '\u{c}'];

fn ends_in_continuation(line: &str) -> bool {
    line.bytes().rev().take_while(|&b| b == b'\\').count() % 2 == 1
}

/// Splits a logical line into raw key and raw value.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line
        .char_indices()
        .find(|&(_, c)| {
            let ends = !escaped && (BLANK.contains(&c) || c == '=' || c == ':');
            escaped = !escaped && c == '\\';
            ends
        })
        .map_or(line.len(), |(at, _)| at);
    let rest = line[end..].trim_start_matches(BLANK);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (&line[..end], rest.trim_start_matches(BLANK))
}

fn unescape(text: &str) -> Result<String, ConfigError> {
    let mut out = String::with_capacity(text.len());
    // Java's escapes are UTF-16 units: a character outside the first plane is two of them.
    let mut units: Vec<u16> = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let unit = if c == '\\' { chars.next() } else { None };
        if unit == Some('u') {
            let digits: String = chars.by_ref().take(4).collect();
            let malformed = || ConfigError::new(text, text, "Malformed \\uxxxx encoding.");
            if digits.len() != 4 {
                return Err(malformed());
            }
            units.push(u16::from_str_radix(&digits, 16).map_err(|_| malformed())?);
            continue;
        }
        out.push_str(&String::from_utf16_lossy(&units));
        units.clear();
        match (c, unit) {
            ('\\', Some('t')) => out.push('\t'),
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some('r')) => out.push('\r'),
            ('\\', Some('f')) => out.push('\u{c}'),
            ('\\', Some(other)) => out.push(other),
            ('\\', None) => {}
            (plain, _) => out.push(plain),
        }
    }
    out.push_str(&String::from_utf16_lossy(&units));
    Ok(out)
}

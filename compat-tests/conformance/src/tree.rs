//! Answers as trees: read from the `Debug` form of the codec's structs, written as JSON that people can read and compare line by line.
//!
//! The codec's structs cannot be serialised, but every one of them can be debug-printed, all fields by name: that form is parsed here.

use serde_json::{Map, Value};

/// One value of an answer. Fields keep the order of the message.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    Null,
    Bool(bool),
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Tree>),
    Fields(Vec<(String, Tree)>),
}

impl Tree {
    /// The tree of anything that derives `Debug`.
    pub fn of(value: &impl std::fmt::Debug) -> Tree {
        let text = format!("{value:?}");
        let mut parser = Parser { text: text.as_bytes(), at: 0 };
        parser.value()
    }

    pub fn text(value: impl Into<String>) -> Tree {
        Tree::Text(value.into())
    }

    pub fn field(&self, name: &str) -> Option<&Tree> {
        match self {
            Tree::Fields(fields) => fields.iter().find(|(n, _)| n == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// For comparing: field order does not matter there.
    pub fn to_json(&self) -> Value {
        match self {
            Tree::Null => Value::Null,
            Tree::Bool(b) => Value::Bool(*b),
            Tree::Int(i) => Value::from(*i),
            Tree::Text(s) => Value::from(s.as_str()),
            Tree::Bytes(b) => Value::from(String::from_utf8_lossy(b).into_owned()),
            Tree::List(items) => Value::Array(items.iter().map(Tree::to_json).collect()),
            Tree::Fields(fields) => {
                Value::Object(fields.iter().map(|(n, v)| (n.clone(), v.to_json())).collect::<Map<_, _>>())
            }
        }
    }

    /// JSON with one line for whatever fits on a line.
    pub fn to_text(&self, indent: usize) -> String {
        let compact = self.compact();
        if compact.len() + indent <= LINE_CHARS {
            return compact;
        }
        let pad = " ".repeat(indent + 2);
        let lines: Vec<String> = match self {
            Tree::List(items) => items.iter().map(|item| format!("{pad}{}", item.to_text(indent + 2))).collect(),
            Tree::Fields(fields) => {
                fields.iter().map(|(n, v)| format!("{pad}{}: {}", quote(n), v.to_text(indent + 2))).collect()
            }
            _ => return compact,
        };
        let (open, close) = if matches!(self, Tree::List(_)) { ('[', ']') } else { ('{', '}') };
        format!("{open}\n{}\n{}{close}", lines.join(",\n"), " ".repeat(indent))
    }

    fn compact(&self) -> String {
        match self {
            Tree::List(items) => format!("[{}]", items.iter().map(Tree::compact).collect::<Vec<_>>().join(", ")),
            Tree::Fields(fields) => {
                let fields: Vec<String> =
                    fields.iter().map(|(n, v)| format!("{}: {}", quote(n), v.compact())).collect();
                format!("{{{}}}", fields.join(", "))
            }
            leaf => leaf.to_json().to_string(),
        }
    }
}

const LINE_CHARS: usize = 140;

fn quote(text: &str) -> String {
    Value::from(text).to_string()
}

/// Reads what `derive(Debug)` writes. Its input comes from the codec, so a surprise is a fault here and may panic.
struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn value(&mut self) -> Tree {
        self.blank();
        match self.peek() {
            b'[' => self.list(b'[', b']'),
            b'{' => self.map(),
            b'"' => Tree::Text(String::from_utf8_lossy(&self.string()).into_owned()),
            b'b' if self.text.get(self.at + 1) == Some(&b'"') => {
                self.at += 1;
                Tree::Bytes(self.string())
            }
            _ => self.word(),
        }
    }

    /// A number, a uuid, `None`, `true`, or a name with fields behind it.
    fn word(&mut self) -> Tree {
        let start = self.at;
        while self.at < self.text.len() && !b" ,:(){}[]".contains(&self.peek()) {
            self.at += 1;
        }
        let word = String::from_utf8_lossy(&self.text[start..self.at]).into_owned();
        if self.text[self.at..].starts_with(b"(") {
            let Tree::List(mut items) = self.list(b'(', b')') else { unreachable!("a list parses to a list") };
            return if items.len() == 1 { items.remove(0) } else { Tree::List(items) };
        }
        if self.text[self.at..].starts_with(b" {") && word.starts_with(|c: char| c.is_ascii_uppercase()) {
            self.at += 1;
            return self.map();
        }
        match word.as_str() {
            "None" => Tree::Null,
            "true" => Tree::Bool(true),
            "false" => Tree::Bool(false),
            other => other.parse().map(Tree::Int).unwrap_or_else(|_| Tree::Text(word)),
        }
    }

    fn list(&mut self, open: u8, close: u8) -> Tree {
        self.expect(open);
        let mut items = Vec::new();
        loop {
            self.blank();
            if self.peek() == close {
                self.at += 1;
                return Tree::List(items);
            }
            items.push(self.value());
        }
    }

    /// `{ name: value, … }` of a struct, `{key: value}` of a map.
    fn map(&mut self) -> Tree {
        self.expect(b'{');
        let mut fields = Vec::new();
        loop {
            self.blank();
            if self.peek() == b'}' {
                self.at += 1;
                return Tree::Fields(fields);
            }
            let name = match self.value() {
                Tree::Text(name) => name,
                Tree::Int(key) => key.to_string(),
                other => unreachable!("a field named {other:?}"),
            };
            self.expect(b':');
            let value = self.value();
            // Never filled by a broker; when it is, that is worth a line.
            if name != "unknown_tagged_fields" || value != Tree::Fields(Vec::new()) {
                fields.push((name, value));
            }
        }
    }

    fn string(&mut self) -> Vec<u8> {
        self.expect(b'"');
        let mut out = Vec::new();
        loop {
            let byte = self.peek();
            self.at += 1;
            match byte {
                b'"' => return out,
                b'\\' => self.escape(&mut out),
                other => out.push(other),
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) {
        let byte = self.peek();
        self.at += 1;
        match byte {
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'0' => out.push(0),
            b'x' => {
                let hex = std::str::from_utf8(&self.text[self.at..self.at + 2]).expect("two hex digits");
                out.push(u8::from_str_radix(hex, 16).expect("two hex digits"));
                self.at += 2;
            }
            b'u' => {
                let end = self.at + self.text[self.at..].iter().position(|b| *b == b'}').expect("a closed escape");
                let hex = std::str::from_utf8(&self.text[self.at + 1..end]).expect("hex digits");
                let character = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32).expect("a character");
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                self.at = end + 1;
            }
            other => out.push(other),
        }
    }

    fn blank(&mut self) {
        while self.at < self.text.len() && b" ,".contains(&self.peek()) {
            self.at += 1;
        }
    }

    fn peek(&self) -> u8 {
        self.text[self.at]
    }

    fn expect(&mut self, byte: u8) {
        assert_eq!(self.peek() as char, byte as char, "at {} of {}", self.at, String::from_utf8_lossy(self.text));
        self.at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[derive(Debug)]
    #[allow(dead_code)]
    struct Sample {
        text: Option<&'static str>,
        none: Option<i32>,
        list: Vec<(i32, bool)>,
        bytes: Bytes,
        empty: Vec<i32>,
    }

    #[test]
    fn a_debug_form_becomes_a_tree() {
        let sample = Sample {
            text: Some("a \"b\" {c}\n\u{7f}"),
            none: None,
            list: vec![(-1, true)],
            bytes: Bytes::from_static(b"\x00\xff,\""),
            empty: vec![],
        };
        let expected = Tree::Fields(vec![
            ("text".into(), Tree::text("a \"b\" {c}\n\u{7f}")),
            ("none".into(), Tree::Null),
            ("list".into(), Tree::List(vec![Tree::List(vec![Tree::Int(-1), Tree::Bool(true)])])),
            ("bytes".into(), Tree::Bytes(b"\x00\xff,\"".to_vec())),
            ("empty".into(), Tree::List(vec![])),
        ]);
        assert_eq!(Tree::of(&sample), expected);
    }
}

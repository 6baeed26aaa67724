use super::parse;

fn pairs(text: &str) -> Vec<(String, String)> {
    parse(text).unwrap()
}

fn one(text: &str) -> (String, String) {
    let mut found = pairs(text);
    assert_eq!(found.len(), 1, "{text:?}");
    found.remove(0)
}

#[test]
fn equals_colon_and_blank_end_a_key() {
    for text in ["a=b c", "a:b c", "a b c", "a = b c", "a\t:  b c", "  a=b c"] {
        assert_eq!(one(text), ("a".to_owned(), "b c".to_owned()), "{text:?}");
    }
    assert_eq!(one("a = = b"), ("a".to_owned(), "= b".to_owned()));
    assert_eq!(one("listeners=PLAINTEXT://:9092").1, "PLAINTEXT://:9092");
    assert_eq!(one("a"), ("a".to_owned(), String::new()));
}

#[test]
fn comments_and_blank_lines_are_skipped() {
    assert_eq!(pairs("# one\n\n  ! two\r\na=1\r\n#b=2\nc=3\n").len(), 2);
}

#[test]
fn a_backslash_at_the_end_joins_lines() {
    assert_eq!(one("a=b,\\\n   c,\\\r\n\td"), ("a".to_owned(), "b,c,d".to_owned()));
    assert_eq!(pairs("a=b\\\\\nc=d").len(), 2);
    assert_eq!(one("a=b\\").1, "b");
    assert_eq!(one("a=b\\\n# not a comment").1, "b# not a comment");
}

#[test]
fn escapes_are_javas() {
    assert_eq!(one(r"a\ b\=c=\td\n\\e\q").0, "a b=c");
    assert_eq!(one(r"a\ b\=c=\td\n\\e\q").1, "\td\n\\eq");
    assert_eq!(one(r"a=\u00e9\ud83d\ude00x").1, "é😀x");
    assert!(parse(r"a=\u12g4").is_err());
    assert!(parse(r"a=\u12").is_err());
}

#[test]
fn values_keep_trailing_blanks_and_the_order_is_kept() {
    assert_eq!(pairs("a=1 \nb=2\na=3"), [("a", "1 "), ("b", "2"), ("a", "3")].map(|(k, v)| (k.into(), v.into())));
}

//! Command lines as Kafka's parsers read and refuse them.

use super::*;

const OPTIONS: &[Opt] = &[
    flag("list", "List."),
    taking("topic", Kind::Text, "topic", "The topic."),
    taking("partitions", Kind::Int, "# of partitions", "How many."),
    taking("timeout", Kind::Long, "", "How long.").optional_argument().default("10"),
];

fn read(words: &str) -> Result<Parsed, ParseError> {
    let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
    parse(OPTIONS, &words)
}

#[test]
fn long_names_take_their_argument_either_way() {
    for line in ["--topic a --list", "--topic=a --list", "-topic a -list", "--list --topic a rest"] {
        let parsed = read(line).unwrap();
        assert!(parsed.has("list"), "{line}");
        assert_eq!(parsed.one("topic").unwrap(), Some("a"), "{line}");
    }
}

#[test]
fn optional_argument_is_taken_unless_it_looks_like_an_option() {
    assert_eq!(read("--timeout --list").unwrap().number::<i64>("timeout").unwrap(), Some(10));
    assert_eq!(read("--timeout 7").unwrap().number::<i64>("timeout").unwrap(), Some(7));
    assert_eq!(read("--timeout -1").unwrap().number::<i64>("timeout").unwrap(), Some(-1));
}

#[test]
fn messages_are_jopt_simples() {
    let message = |line: &str| read(line).unwrap_err().to_string();
    assert_eq!(message("--foo"), "foo is not a recognized option");
    assert_eq!(message("-xyz"), "x is not a recognized option");
    assert_eq!(message("--list --topic"), "Option topic requires an argument");
    let twice = read("--topic a --topic b").unwrap();
    let message = twice.one("topic").unwrap_err().to_string();
    assert_eq!(message, "Found multiple arguments for option topic, but you asked for only one");
    let bad = read("--partitions x").unwrap();
    let message = bad.number::<i32>("partitions").unwrap_err().to_string();
    assert_eq!(message, "Cannot parse argument 'x' of option partitions");
}

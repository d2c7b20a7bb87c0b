//! docs/adding.md is true: its files are there, and each recipe has five lines.

use super::root;
use std::fs;

#[test]
fn what_is_said_of_adding_is_true() {
    let text = fs::read_to_string(root().join("docs/adding.md")).unwrap();
    let recipes: Vec<&str> = text.split("\n## ").skip(1).collect();
    assert_eq!(recipes.len(), 6, "kernel, op, method, architecture, format, measure");
    for recipe in recipes {
        let (name, lines) = recipe.split_once("\n\n").unwrap();
        let numbers: Vec<&str> = lines.lines().filter_map(|line| Some(line.split_once(". ")?.0)).collect();
        assert_eq!(numbers, ["1", "2", "3", "4", "5"], "{name}");
    }
    let quoted = text.split('`').skip(1).step_by(2);
    let paths: Vec<&str> = quoted.filter(|words| words.contains('/') && !words.contains(' ')).collect();
    assert!(paths.len() > 20, "{paths:?}");
    for path in paths {
        assert!(root().join(path).exists(), "docs/adding.md names {path}, which is gone");
    }
}

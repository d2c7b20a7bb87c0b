//! Who imports whom: circles between the files of a folder, and words that the code of a folder does not say.

use super::{files, relative, root};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Folders in which no file imports itself by way of others.
const ACYCLIC: &[&str] = &["model/src/net", "src/pipeline", "rlhf/src/data", "rlhf/src/world"];

/// Sources whose rooms, the files and folders at their top, do not import each other in a circle.
const ROOMS: &[&str] = &["src", "rlhf/src"];

/// Words that the code of a file or below a folder does not say, and why.
const NEVER: &[(&str, &[&str], &str)] = &[
    (
        "model/src/net",
        &["std::fs", "PathBuf", "files::", "arch::", "serde_json"],
        "the network knows no file: architectures give it a config, files give it numbers",
    ),
    (
        "src/config",
        &["stages::", "training::", "pipeline::", "verbs::"],
        "a recipe is data: who reads it says what there is",
    ),
    ("src/stages", &["pipeline::", "verbs::", "folder::"], "a stage and an estimate need no pipeline"),
    ("src/training", &["pipeline::", "stages::", "verbs::"], "loading needs no pipeline"),
    ("src/report", &["pipeline::", "training::", "verbs::"], "the report is made from the folder"),
    ("rlhf/src/rollout.rs", &["methods::"], "rollouts know no method"),
    ("rlhf/src/data", &["crate::methods", "crate::train", "crate::pretrain"], "data know no method"),
];

#[test]
fn no_file_imports_itself_by_way_of_others() {
    for folder in ACYCLIC {
        let circle = circle(&imports(folder));
        assert!(circle.is_none(), "a circle in {folder}: {}", circle.unwrap().join(" → "));
    }
}

#[test]
fn no_room_imports_itself_by_way_of_others() {
    for source in ROOMS {
        let room = |file: &String| {
            let path = file.strip_prefix(source).unwrap().trim_start_matches('/');
            path.split('/').next().unwrap().trim_end_matches(".rs").to_string()
        };
        let mut rooms = BTreeMap::<String, BTreeSet<String>>::new();
        for (file, others) in imports(source) {
            let is_test = |room: &str| ["tests", "lib", "main"].contains(&room);
            let own = room(&file);
            let to = others.iter().map(room).filter(|to| *to != own && !is_test(to)).collect::<BTreeSet<_>>();
            rooms.entry(own.clone()).or_default().extend(if is_test(&own) { BTreeSet::new() } else { to });
        }
        let circle = circle(&rooms);
        assert!(circle.is_none(), "a circle in {source}: {}", circle.unwrap().join(" → "));
    }
}

#[test]
fn folders_do_not_say_what_they_do_not_know() {
    for (folder, words, why) in NEVER {
        let place = root().join(folder);
        assert!(place.exists(), "NEVER names {folder}, which is gone");
        for path in if place.is_dir() { files(&place, "rs") } else { vec![place] } {
            for word in *words {
                assert!(!code(&relative(&path)).contains(word), "{}: `{word}`, but {why}", relative(&path));
            }
        }
    }
}

#[test]
fn imports_are_found_however_they_are_written() {
    let mut paths = Vec::new();
    expand("super::{a, b::{self, C as D}, e::*,};", Vec::new(), &mut paths);
    let paths: Vec<String> = paths.iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["super::a", "super::b::self", "super::b::C", "super::e::", "super::"]);
    let edges = |all: &[(&str, &str)]| {
        let mut graph = BTreeMap::<String, BTreeSet<String>>::new();
        for (from, to) in all {
            graph.entry((*from).into()).or_default().insert((*to).into());
            graph.entry((*to).into()).or_default();
        }
        graph
    };
    assert_eq!(circle(&edges(&[("a", "b"), ("b", "c"), ("a", "c")])), None);
    assert_eq!(circle(&edges(&[("a", "b"), ("b", "c"), ("c", "b")])).unwrap(), ["b", "c", "b"]);
    assert!(imports("model/src/net")["model/src/net/heads.rs"].contains("model/src/net/adapter.rs"));
}

/// A file without comments and without the tests at its end.
fn code(file: &str) -> String {
    let text = fs::read_to_string(root().join(file)).unwrap();
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    product.lines().map(|line| line.split("//").next().unwrap_or_default().to_string() + "\n").collect()
}

/// For each file below a folder, those below it that it names.
fn imports(folder: &str) -> BTreeMap<String, BTreeSet<String>> {
    let source = &folder[..folder.find("src").unwrap() + 3];
    let names: Vec<String> = files(&root().join(folder), "rs").iter().map(|path| relative(path)).collect();
    let by_module: BTreeMap<Vec<String>, &String> = names.iter().map(|file| (module(source, file), file)).collect();
    let exports = exports(source);
    let of = |file: &String| {
        let own = module(source, file);
        let named = paths(&code(file)).into_iter().filter_map(|path| {
            let path = absolute(&own, &path);
            let path = path.first().and_then(|name| exports.get(name)).unwrap_or(&path);
            (0..=path.len()).rev().find_map(|n| by_module.get(&path[..n]).copied().cloned())
        });
        named.filter(|other| other != file).collect()
    };
    names.iter().map(|file| (file.clone(), of(file))).collect()
}

/// `crate`'s module path of a file, without `crate`.
fn module(source: &str, file: &str) -> Vec<String> {
    let path = file.strip_prefix(source).unwrap().trim_start_matches('/').trim_end_matches(".rs");
    let path = path.split('/').map(String::from).collect::<Vec<_>>();
    let is_root = |name: &String| ["mod", "lib", "main"].contains(&name.as_str());
    if path.last().is_some_and(is_root) { path[..path.len() - 1].to_vec() } else { path }
}

/// What the root of a crate exports under other paths, by name.
fn exports(source: &str) -> BTreeMap<String, Vec<String>> {
    let file =
        ["lib.rs", "main.rs"].map(|name| format!("{source}/{name}")).into_iter().find(|f| root().join(f).exists());
    let paths = paths(&code(&file.unwrap())).into_iter().map(|path| absolute(&[], &path));
    paths.filter(|path| path.len() > 1).map(|path| (path[path.len() - 1].clone(), path)).collect()
}

/// The paths that begin at `crate`, `super` or `self`, and those of `use`.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for start in ["use ", "crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            if !before.is_some_and(|c| c.is_alphanumeric() || "_:{".contains(c)) {
                expand(code[at..].trim_start_matches("use "), Vec::new(), &mut found);
            }
        }
    }
    found
}

/// Expands `a::{b, c::d}` at the start of `code`; returns what comes after it.
fn expand<'a>(code: &'a str, mut path: Vec<String>, found: &mut Vec<Vec<String>>) -> &'a str {
    let mut code = code.trim_start();
    loop {
        if let Some(mut rest) = code.strip_prefix('{') {
            loop {
                rest = expand(rest, path.clone(), found).trim_start();
                match rest.strip_prefix(',') {
                    Some(more) => rest = more,
                    None => return rest.strip_prefix('}').unwrap_or(rest),
                }
            }
        }
        let end = code.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(code.len());
        path.push(code[..end].into());
        code = &code[end..];
        let Some(rest) = code.strip_prefix("::") else { break };
        code = rest;
    }
    found.push(path);
    let code = code.strip_prefix('*').unwrap_or(code);
    match code.strip_prefix(" as ") {
        Some(name) => name.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'),
        None => code,
    }
}

/// A path from the root of the crate, as it is meant in the module `own`.
fn absolute(own: &[String], path: &[String]) -> Vec<String> {
    let ups = path.iter().take_while(|name| *name == "super").count();
    match path.first().map(String::as_str) {
        Some("crate") => path[1..].to_vec(),
        Some("super") => [&own[..own.len().saturating_sub(ups)], &path[ups..]].concat(),
        Some("self") => [own, &path[1..]].concat(),
        _ => [own, path].concat(),
    }
}

/// Files that import one another in a circle, the first one again at the end.
fn circle(imports: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    let mut left = imports.clone();
    loop {
        // who imports nobody that is left is in no circle
        let done: Vec<String> = left.iter().filter(|(_, to)| to.is_empty()).map(|(file, _)| file.clone()).collect();
        if done.is_empty() {
            break;
        }
        left.retain(|file, _| !done.contains(file));
        left.values_mut().for_each(|to| to.retain(|file| !done.contains(file)));
    }
    let mut walk = vec![left.keys().next()?.clone()];
    loop {
        let next = left[walk.last()?].iter().next()?.clone();
        if let Some(at) = walk.iter().position(|file| *file == next) {
            return Some([&walk[at..], &[next]].concat());
        }
        walk.push(next);
    }
}

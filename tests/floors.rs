//! The floors of docs/architecture.md: a module imports from lower floors only, never sideways and never upward.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Modules by floor, lowest first. `lib.rs` lists them in this order.
const FLOORS: &[&[&str]] = &[
    &["base"],
    &["config", "metrics", "record"],
    &["client", "log", "wal"],
    &["tier"],
    &["topic"],
    &["coordinator"],
    &["broker"],
    &["api"],
    &["console", "net"],
    &["server"],
    &["cli"],
];

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("src is there") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The modules of this crate that a source names.
fn imports(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in source.match_indices("crate::") {
        let rest = &source[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let list = &list[..list.find('}').unwrap_or(list.len())];
            found.extend(list.split(',').map(|item| first_name(item.trim())));
        } else {
            found.push(first_name(rest));
        }
    }
    found
}

fn first_name(path: &str) -> String {
    path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn modules_import_from_lower_floors_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 50, "the sources were found");
    let mut wrong: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        let relative = file.strip_prefix(&root).expect("below src");
        let module = relative.components().next().expect("a component").as_os_str().to_string_lossy().to_string();
        let module = module.trim_end_matches(".rs");
        if module == "lib" || module == "main" {
            continue;
        }
        let floor = floor_of(module).unwrap_or_else(|| panic!("{module} has no floor: give it one in FLOORS"));
        for import in imports(&std::fs::read_to_string(&file).expect("readable")) {
            if import == module {
                continue;
            }
            // Names at the root of the crate are re-exports of the upper floors.
            let other = floor_of(&import).unwrap_or(FLOORS.len());
            if other >= floor {
                wrong.entry(relative.display().to_string()).or_default().push(import);
            }
        }
    }
    assert!(wrong.is_empty(), "these import sideways or upward: {wrong:#?}");
}

#[test]
fn lib_lists_the_modules_floor_by_floor() {
    let lib = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).expect("lib.rs");
    let listed: Vec<&str> = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let floors: Vec<usize> = listed.iter().map(|m| floor_of(m).unwrap_or_else(|| panic!("{m} has no floor"))).collect();
    assert!(floors.is_sorted(), "{listed:?}");
    assert_eq!(listed.len(), FLOORS.iter().map(|f| f.len()).sum::<usize>());
}

/// Modules by floor, as the table under "Floors" has them.
fn documented_floors() -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md");
    let text = std::fs::read_to_string(path).expect("docs/architecture.md");
    let section = text.split("\n## ").find(|section| section.starts_with("Floors")).expect("a section on floors");
    let mut floors: Vec<Vec<String>> = Vec::new();
    for line in section.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, floor, module, ..] = cells[..] else { continue };
        let Ok(floor) = floor.parse::<usize>() else { continue };
        floors.resize(floors.len().max(floor + 1), Vec::new());
        floors[floor].push(module.trim_matches('`').to_owned());
    }
    floors.iter_mut().for_each(|floor| floor.sort());
    floors
}

#[test]
fn the_documentation_has_the_floors() {
    assert_eq!(documented_floors(), FLOORS);
}

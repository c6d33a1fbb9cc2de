//! Who imports whom in the kernel and in `fs`: nobody what is above it, and no files each other in a circle.
//!
//! Read are the sources of the kernel's crates and of `fs`, without the tests at a file's end. What a file
//! imports is what its `use` items and paths begin with: `crate`, `super`, `self`, or a module that it
//! declares. A path counts as an import of the file of its longest part that is a module; that a file
//! declares a module is none, nor is who may see an item. Between crates, Cargo keeps the order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use tests::root;

/// One crate's rules.
struct Rules<'a> {
    /// Where its sources are.
    folder: &'a str,
    /// From the bottom up: a layer's name, and the modules in it with all that they hold. A module that is
    /// named itself belongs where it is named.
    layers: &'a [(&'a str, &'a [&'a str])],
    /// What may be a circle, and why.
    circles: &'a [Circle<'a>],
    /// Modules of which none knows another, whatever their layers.
    apart: &'a [&'a str],
}

/// Files that may import each other: modules, each with all that it holds. The first that holds a circle
/// counts.
struct Circle<'a> {
    modules: &'a [&'a str],
    #[expect(dead_code, reason = "for whoever reads or adds to the list")]
    why: &'a str,
}

const BASE: Rules<'static> = Rules {
    folder: "kernel/base/src",
    layers: &[
        ("steps", &["steps"]),
        ("CPU", &["arch"]),
        ("counters", &["counters"]),
        ("locks", &["sync"]),
        ("devices of QEMU", &["debugcon", "fw_cfg"]),
        ("console and log", &["console", "klog", "exit"]),
        ("memory", &["mm"]),
        ("persistent memory", &["acpi", "pmem"]),
        ("platform of fs", &["machine"]),
        ("address spaces and tasks", &["mm::aspace", "mm::fault", "task"]),
        ("what stands on tasks", &["keyboard"]),
        ("the end", &["panic", "crash"]),
        ("entry", &["entry"]),
    ],
    circles: &[Circle {
        modules: &["mm::aspace", "mm::fault", "task"],
        why: "a task has an address space, and one file says what a fault asks for and whose it is",
    }],
    apart: &[],
};

const STORE: Rules<'static> = Rules {
    folder: "kernel/store/src",
    layers: &[("mounts", &["mounts"]), ("bad memory", &["bad_memory"])],
    circles: &[Circle { modules: &["mounts"], why: "the list of mounts, and the ways through it" }],
    apart: &[],
};

const LAB: Rules<'static> = Rules {
    folder: "kernel/lab/src",
    layers: &[
        ("listeners", &["waiting", "trace", "script", "chance"]),
        ("formats", &["chrome"]),
        ("stage", &["stage"]),
        ("plays", &["race", "scenarios", "replay"]),
    ],
    circles: &[
        Circle { modules: &["replay"], why: "one type, with what it does and what it compares" },
        Circle { modules: &["scenarios"], why: "a list of values, and what they are made of" },
    ],
    apart: &[],
};

const KERNEL: Rules<'static> = Rules {
    folder: "kernel/src",
    layers: &[
        ("self-test", &["selftest"]),
        ("shell", &["shell"]),
        ("commands", &["shell::cmd", "shell::io"]),
        ("instruments", &["shell::instruments"]),
    ],
    circles: &[
        Circle { modules: &["selftest"], why: "a list of checks, and what they are made of" },
        Circle { modules: &["shell::io"], why: "one command, with commands of its own" },
        Circle { modules: &["shell::instruments::bench"], why: "one command, with a list of operations" },
        Circle { modules: &["shell::instruments::exercise"], why: "one command, with a list of exercises" },
        Circle {
            modules: &["shell"],
            why: "`Shell` is one type, and a command's entry in the table is handed one",
        },
    ],
    apart: &[],
};

const FS: Rules<'static> = Rules {
    folder: "fs/src",
    layers: &[
        ("atomics, errors, counters, checksums", &["atomic", "crc32c", "error", "stats"]),
        ("lab", &["lab"]),
        ("persistent memory", &["pmem"]),
        ("platform", &["platform"]),
        ("vfs", &["vfs"]),
        ("the journal", &["jbd2"]),
        ("dax", &["dax"]),
        ("a schedule of dax", &["lab::schedule"]),
        ("ext: what ext2 and ext4 share", &["ext"]),
        ("ext2: the disk", &["ext2::disk", "ext2::view"]),
        ("ext2: what allocators, trees and names remember", EXT2_STATE),
        ("ext2: facts", &["ext2::facts"]),
        ("ext2: file system and inode", &["ext2::fs", "ext2::inode", "ext2::recover::outcome"]),
        ("ext2: records and times", &["ext2::policy", "ext2::redo", "ext2::super_in_place", "ext2::times"]),
        ("ext2: allocation", &["ext2::alloc"]),
        ("ext2: the indirect tree", &["ext2::map"]),
        ("ext2: content, names, attributes", &["ext2::file", "ext2::names", "ext2::xattr"]),
        ("ext2: repair", &["ext2::recover"]),
        ("ext2: a mount's life", &["ext2::freeze", "ext2::mount", "ext2::watched"]),
        ("ext2: the traits of vfs", &["ext2::ops"]),
        ("ext2", &["ext2"]),
        ("ext4: the disk", &["ext4::disk"]),
        ("ext4: edits, which know no mounted file system", &["ext4::edit", "ext4::extents"]),
        ("ext4", &["ext4"]),
        ("block", &["block"]),
        ("registry", &["registry"]),
        ("the host", &["sim", "ext2::tests", "ext2::wrong_order"]),
    ],
    circles: &[
        Circle {
            modules: &["ext2::fs", "ext2::inode"],
            why: "a file system keeps its inodes in memory, and an inode is changed through its file system",
        },
        Circle {
            modules: &[
                "ext4::fs",
                "ext4::inode",
                "ext4::map",
                "ext4::meta",
                "ext4::xattrs",
                "ext4::file",
                "ext4::alloc",
                "ext4::operation",
                "ext4::change",
                "ext4::names",
                "ext4::orphans",
                "ext4::sync",
                "ext4::attr",
                "ext4::times",
            ],
            why: "as in ext2; and what an inode's map may not lead to is the file system's",
        },
        Circle { modules: &["vfs"], why: "traits, and types that they hand out and that need them" },
        Circle {
            modules: &["jbd2::handle", "jbd2::journal"],
            why: "a journal opens handles, and a handle changes its journal's transaction",
        },
        Circle { modules: &["dax"], why: "a fault, and the protocols whose steps it takes" },
        Circle { modules: &["lab::schedule"], why: "one type, and how its text is read" },
        Circle { modules: &["block"], why: "one file system of one file" },
    ],
    apart: &["block", "dax", "ext2", "ext4"],
};

/// What of allocation, of the indirect tree and of names is below the types that hold it.
const EXT2_STATE: &[&str] = &[
    "ext2::alloc::bitmap",
    "ext2::alloc::goals",
    "ext2::alloc::runs",
    "ext2::alloc::state",
    "ext2::alloc::taken",
    "ext2::map::geometry",
    "ext2::names::nameindex",
    "ext2::names::room",
];

/// A module's path, as `mm::paging`; empty for the root.
type Module = String;

/// The files of a crate, and who imports whom.
struct Graph {
    files: BTreeMap<Module, String>,
    imports: BTreeMap<Module, BTreeSet<Module>>,
}

impl Graph {
    /// Of files by their path from the crate's `src`, with their text.
    fn new(sources: &[(String, String)]) -> Self {
        let files: BTreeMap<Module, String> =
            sources.iter().map(|(path, _)| (module_of(path), path.clone())).collect();
        let mut imports = BTreeMap::new();
        for (path, text) in sources {
            let module = module_of(path);
            let all = paths(&code_of(text)).into_iter().filter_map(|path| target(&files, &module, &path));
            imports.insert(module.clone(), all.filter(|to| *to != module).collect());
        }
        Self { files, imports }
    }

    fn of_folder(folder: &Path) -> Self {
        let (mut folders, mut sources) = (vec![folder.to_path_buf()], Vec::new());
        while let Some(next) = folders.pop() {
            for entry in std::fs::read_dir(next).expect("a folder of sources") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let name = path.strip_prefix(folder).expect("it is in there").to_string_lossy();
                    sources.push((name.into_owned(), std::fs::read_to_string(&path).expect("a source")));
                }
            }
        }
        Self::new(&sources)
    }

    /// What is imported by a module, by what that imports, and so on.
    fn reached(&self, from: &Module) -> BTreeSet<&Module> {
        let mut next: Vec<&Module> = self.imports[from].iter().collect();
        let mut all: BTreeSet<&Module> = next.iter().copied().collect();
        while let Some(module) = next.pop() {
            next.extend(self.imports[module].iter().filter(|to| all.insert(*to)));
        }
        all
    }

    /// Every set of files that all reach each other by imports, the largest first.
    fn circles(&self) -> Vec<BTreeSet<&Module>> {
        let reaches: BTreeMap<&Module, BTreeSet<&Module>> =
            self.files.keys().map(|module| (module, self.reached(module))).collect();
        let mut circles: Vec<BTreeSet<&Module>> = Vec::new();
        for (module, others) in reaches.iter().filter(|(module, others)| others.contains(*module)) {
            if !circles.iter().any(|circle| circle.contains(module)) {
                circles
                    .push(others.iter().copied().filter(|other| reaches[other].contains(module)).collect());
            }
        }
        circles.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
        circles
    }

    /// A shortest way around a circle from one of its modules, as text.
    fn way_around(&self, circle: &BTreeSet<&Module>) -> String {
        let start: &Module = circle.first().expect("a circle is not empty");
        let mut ways: Vec<Vec<&Module>> = vec![vec![start]];
        let mut seen = BTreeSet::new();
        loop {
            let mut longer = Vec::new();
            for way in &ways {
                for to in self.imports[way[way.len() - 1]].iter().filter(|to| circle.contains(to)) {
                    let step = [&way[..], &[to]].concat();
                    if to == start {
                        let names: Vec<&str> =
                            step.iter().map(|module| self.files[*module].as_str()).collect();
                        return names.join(" → ");
                    }
                    if seen.insert(to) {
                        longer.push(step);
                    }
                }
            }
            ways = longer;
        }
    }

    /// What is against the rules, a line each.
    fn check(&self, rules: &Rules<'_>) -> Vec<String> {
        let mut wrong = Vec::new();
        let layer = |module: &Module| {
            let named = rules.layers.iter().enumerate().flat_map(|(number, (_, modules))| {
                modules.iter().filter(|name| holds(name, module)).map(move |name| (name.len(), number))
            });
            named.max().map(|(_, number)| number)
        };
        for (module, path) in self.files.iter().filter(|(module, _)| !module.is_empty()) {
            let Some(own) = layer(module) else {
                wrong.push(format!(
                    "{}/{path}: is in no layer: tests/tests/layers.rs lists them",
                    rules.folder
                ));
                continue;
            };
            for to in &self.imports[module] {
                if let Some(above) = layer(to).filter(|other| *other > own) {
                    let (own, above) = (rules.layers[own].0, rules.layers[above].0);
                    let mut line = String::new();
                    let _ = write!(line, "{}/{path} imports {to}: ", rules.folder);
                    let _ = write!(line, "the layer \"{above}\" is above \"{own}\"");
                    wrong.push(line);
                }
            }
        }
        for (module, path) in &self.files {
            let room = |module: &Module| rules.apart.iter().find(|name| holds(name, module));
            let others = self.imports[module]
                .iter()
                .filter(|to| room(module).zip(room(to)).is_some_and(|(own, other)| own != other));
            wrong.extend(others.map(|to| format!("{}/{path} imports {to}: they are apart", rules.folder)));
        }
        let mut needed = BTreeSet::new();
        for circle in self.circles() {
            let fits = |allowed: &&Circle<'_>| {
                circle.iter().all(|module| allowed.modules.iter().any(|name| holds(name, module)))
            };
            match rules.circles.iter().position(|allowed| fits(&allowed)) {
                Some(number) => drop(needed.insert(number)),
                None => wrong.push(format!(
                    "{}: {} files import each other: {}",
                    rules.folder,
                    circle.len(),
                    self.way_around(&circle)
                )),
            }
        }
        let idle = rules.circles.iter().enumerate().filter(|(number, _)| !needed.contains(number));
        wrong.extend(idle.map(|(_, circle)| {
            format!("{}: {} may be a circle and is none", rules.folder, circle.modules.join(", "))
        }));
        wrong
    }
}

/// Whether `name` is the module or holds it.
fn holds(name: &str, module: &str) -> bool {
    module.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// `mod.rs` is its folder's module; `lib.rs` and `main.rs` are the root.
fn module_of(path: &str) -> Module {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    let stem = stem.strip_suffix("/mod").unwrap_or(stem);
    if matches!(stem, "lib" | "main") { String::new() } else { stem.replace('/', "::") }
}

/// A source without its comments, and without the tests at its end.
fn code_of(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The paths in a source that can lead to another file, from where it is: those of `use` items, each of a
/// group by itself, and those elsewhere.
fn paths(code: &str) -> Vec<String> {
    let (mut found, mut rest) = (Vec::new(), code);
    while let Some((at, word)) = next_word(rest) {
        let after = &rest[at + word.len()..];
        let before = &rest[..at];
        rest = after;
        if word == "in" && before == "(" {
            // Who may see it is no import.
            rest = after.split_once(')').map_or(after, |(_, after)| after);
        } else if word == "use" {
            let (item, after) = after.split_once(';').unwrap_or((after, ""));
            expand(item, "", &mut found);
            rest = after;
        } else if !before.ends_with("::") && !before.ends_with('$') && after.starts_with("::") {
            let end = after.find(|c: char| !is_of_word(c) && c != ':').unwrap_or(after.len());
            found.push(format!("{word}{}", &after[..end]));
            rest = &after[end..];
        }
    }
    found
}

/// Adds the paths of what stands after `use`, with `before` in front of each.
fn expand(item: &str, before: &str, found: &mut Vec<String>) {
    let item = item.trim();
    let Some((head, group)) = item.split_once('{') else {
        let path = item.split_whitespace().next().unwrap_or_default();
        found.push(format!("{before}{path}"));
        return;
    };
    let group = group.rsplit_once('}').map_or(group, |(group, _)| group);
    let (mut depth, mut start) = (0, 0);
    let head = format!("{before}{}", head.trim());
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !group[start..at].trim().is_empty() {
                    expand(&group[start..at], &head, found);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn next_word(text: &str) -> Option<(usize, &str)> {
    let at = text.find(is_of_word)?;
    let len = text[at..].find(|c| !is_of_word(c)).unwrap_or(text.len() - at);
    Some((at, &text[at..at + len]))
}

/// The module that a path in `from` leads into, if it is one of the crate's own files; the root has nothing
/// to import.
fn target(files: &BTreeMap<Module, String>, from: &Module, path: &str) -> Option<Module> {
    let mut place: Vec<&str> = from.split("::").filter(|name| !name.is_empty()).collect();
    let mut names = path.split("::").peekable();
    let is_rooted = match names.peek() {
        Some(&"crate") => {
            place.clear();
            names.next();
            true
        }
        Some(&"self") => names.next().is_some(),
        Some(&"super") => {
            while names.next_if_eq(&"super").is_some() {
                place.pop();
            }
            true
        }
        _ => false,
    };
    let depth = place.len();
    for name in names {
        place.push(name);
        if !files.contains_key(&place.join("::")) {
            place.pop();
            break;
        }
    }
    // A word that is no module of this one's is of another crate, or a type.
    let found = place.join("::");
    (is_rooted || place.len() > depth).then_some(found).filter(|found| !found.is_empty())
}

#[test]
fn no_file_of_the_kernel_or_of_fs_imports_what_is_above_it() {
    for rules in [BASE, STORE, LAB, KERNEL, FS] {
        let graph = Graph::of_folder(&root().join(rules.folder));
        assert!(graph.files.len() > 3, "{} has few files", rules.folder);
        let wrong = graph.check(&rules);
        let largest = graph.circles().first().map_or(0, BTreeSet::len);
        println!("{}: {} files, the largest circle has {largest}", rules.folder, graph.files.len());
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    }
}

/// What is wrong with some files of a small crate: `high` with `high::part` stands on `low`, whose `a` and
/// `b` may be a circle.
fn wrong(files: &[(&str, &str)]) -> Vec<String> {
    let rules = Rules {
        folder: "src",
        layers: &[("below", &["low"]), ("above", &["high", "low::top", "left", "right"])],
        circles: &[Circle { modules: &["low::a", "low::b"], why: "for the test" }],
        apart: &["left", "right"],
    };
    let circle = [("low/a.rs", "use super::b::B;"), ("low/b.rs", "fn b() -> super::a::A {}")];
    let others = [("lib.rs", "pub mod high;\npub mod low;"), ("low/mod.rs", "pub mod a;\npub mod b;")];
    let all = circle.iter().chain(&others).filter(|(path, _)| files.iter().all(|(other, _)| other != path));
    let sources: Vec<_> = all.chain(files).map(|(path, text)| (path.to_string(), text.to_string())).collect();
    Graph::new(&sources).check(&rules)
}

#[test]
fn an_import_from_above_is_found() {
    let high = ("high/mod.rs", "mod part;\nuse crate::low;\nuse low::a;");
    let part = ("high/part.rs", "use crate::low::{a::A, b};\n// use super::Part;");
    assert_eq!(wrong(&[high, part]), [""; 0]);
    for import in [
        "use crate::high::part;",
        "use crate::{low, high::{part::Part, Other}};",
        "use super::super::high::part as p;",
        "fn a() { crate::high::part::b() }",
        "fn a() -> Vec<crate::high::part::B> {}",
    ] {
        let found = wrong(&[high, part, ("low/c.rs", &format!("/// Text.\n{import}\n"))]);
        let told = found.iter().any(|line| {
            line.starts_with("src/low/c.rs imports high") && line.ends_with("\"above\" is above \"below\"")
        });
        assert!(told, "{import}: {found:?}");
    }
    // What is named by itself is where it is named.
    let top = ("low/top.rs", "use crate::high::Part;");
    assert_eq!(wrong(&[high, part, top]), [""; 0]);
    let found = wrong(&[high, part, top, ("low/c.rs", "use super::top;")]);
    assert_eq!(found, ["src/low/c.rs imports low::top: the layer \"above\" is above \"below\""]);
    // Neither who may see it nor a test is an import.
    for text in
        ["pub(in crate::high) struct A;", "fn a() {}\n#[cfg(test)]\nmod tests {\n    use crate::high::a;\n}"]
    {
        assert_eq!(wrong(&[high, part, ("low/c.rs", text)]), [""; 0], "{text}");
    }
    let found = wrong(&[high, part, ("right.rs", "use crate::left;"), ("left.rs", "")]);
    assert_eq!(found, ["src/right.rs imports left: they are apart"]);
    assert_eq!(
        wrong(&[("other.rs", "")]),
        ["src/other.rs: is in no layer: tests/tests/layers.rs lists them"]
    );
}

#[test]
fn a_circle_is_found_unless_it_is_listed() {
    let (c, d) = (("low/c.rs", "use super::d::D;"), ("low/d.rs", "use crate::low::c;"));
    assert_eq!(wrong(&[c, d]), ["src: 2 files import each other: low/c.rs → low/d.rs → low/c.rs"]);
    let (c, d) = (("low/c.rs", "use super::d::D;"), ("low/d.rs", "use crate::low::a;"));
    assert_eq!(wrong(&[c, d]), [""; 0]);
    // One that is larger than what is listed.
    let b = ("low/b.rs", "use super::c;");
    let c = ("low/c.rs", "use super::a;");
    let found = wrong(&[b, c]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[0], "src: 3 files import each other: low/a.rs → low/b.rs → low/c.rs → low/a.rs");
    assert_eq!(found[1], "src: low::a, low::b may be a circle and is none");
    // A module and what it declares, if both use each other; to declare it is not to use it.
    let part = ("high/part.rs", "use super::High;");
    assert_eq!(wrong(&[("high/mod.rs", "mod part;"), part]), [""; 0]);
    for text in
        ["mod part;\nuse part::Part;", "mod part;\nfn a() { part::b() }", "mod part;\npub use self::part::*;"]
    {
        let found = wrong(&[("high/mod.rs", text), part]);
        assert_eq!(
            found,
            ["src: 2 files import each other: high/mod.rs → high/part.rs → high/mod.rs"],
            "{text}"
        );
    }
}

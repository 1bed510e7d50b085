//! Files that import each other, directly or through others.
//!
//! Every path that begins with `crate`, `super`, `self` or the name of a child module is resolved to the file that defines what
//! it names; a re-export is followed to where the item stands, and is no import by itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The module path of each file, such as `["buffer", "events"]`, and what it says.
pub(crate) type Modules = BTreeMap<Vec<String>, String>;

/// The module that a file of `src` is; `lib.rs` is the root, and `main.rs` none.
pub(crate) fn module_of(path: &str) -> Option<Vec<String>> {
    let inside = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    if inside == "main" {
        return None;
    }
    let inside = inside.strip_suffix("/mod").unwrap_or(inside);
    Some(if inside == "lib" { Vec::new() } else { inside.split('/').map(str::to_owned).collect() })
}

/// The groups of two and more modules that reach each other.
pub(crate) fn circles(modules: &Modules) -> Vec<BTreeSet<String>> {
    let exports: HashMap<&Vec<String>, Vec<Use>> =
        modules.iter().map(|(module, code)| (module, uses(code, true))).collect();
    let mut edges: BTreeMap<&Vec<String>, BTreeSet<&Vec<String>>> = BTreeMap::new();
    for (module, code) in modules {
        let targets = edges.entry(module).or_default();
        let (uses, rest) = (uses(code, false), without_uses(code));
        let named = uses.into_iter().map(|found| found.path).chain(paths(&rest));
        for path in named {
            if let Some(target) = resolve(module, &path, modules, &exports, 0)
                && target != module
            {
                targets.insert(target);
            }
        }
    }
    let reach: BTreeMap<_, BTreeSet<_>> = edges.keys().map(|from| (*from, reached(from, &edges))).collect();
    let mut found = BTreeSet::new();
    for (from, far) in &reach {
        if far.contains(from) {
            found.insert(far.iter().filter(|to| reach[**to].contains(from)).map(|to| to.join("/")).collect());
        }
    }
    found.into_iter().collect()
}

fn reached<'m>(
    from: &'m Vec<String>,
    edges: &BTreeMap<&'m Vec<String>, BTreeSet<&'m Vec<String>>>,
) -> BTreeSet<&'m Vec<String>> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(module) = open.pop() {
        open.extend(edges[module].iter().filter(|target| seen.insert(**target)));
    }
    seen
}

/// One name that a `use` brings in.
struct Use {
    path: Vec<String>,
    name: String,
}

/// The names of the `use` statements of a file: its re-exports, or its imports.
fn uses(code: &str, is_export: bool) -> Vec<Use> {
    let mut found = Vec::new();
    for (visibility, tree) in statements(code) {
        if visibility.is_empty() != is_export {
            expand(&[], tree, &mut found);
        }
    }
    found
}

/// Each `use` statement outside functions and inside, with what stands before it in its line.
fn statements(code: &str) -> Vec<(&str, &str)> {
    let starts = code.match_indices("use ").filter_map(|(at, _)| {
        let line = code[..at].rfind('\n').map_or(0, |end| end + 1);
        let before = code[line..at].trim();
        (before.is_empty() || before.starts_with("pub")).then_some((before, at + 4))
    });
    starts.filter_map(|(before, at)| Some((before, code[at..].split_once(';')?.0))).collect()
}

fn without_uses(code: &str) -> String {
    let mut rest = code.to_owned();
    for (_, tree) in statements(code) {
        rest = rest.replacen(&format!("use {tree};"), "", 1);
    }
    rest
}

/// Takes a tree such as `a::{b, c::{self, d as e}}` apart.
fn expand(prefix: &[String], tree: &str, found: &mut Vec<Use>) {
    let tree = tree.trim();
    let (head, group) = match tree.split_once('{') {
        Some((head, group)) => (head, Some(group.trim_end().trim_end_matches('}'))),
        None => (tree, None),
    };
    let (head, alias) = head.split_once(" as ").map_or((head, None), |(head, alias)| (head, Some(alias)));
    let steps = head.split("::").map(|step| step.trim().trim_start_matches("r#").to_owned());
    let mut path: Vec<String> = prefix.iter().cloned().chain(steps.filter(|step| !step.is_empty())).collect();
    if let Some(group) = group {
        let (mut depth, mut from) = (0, 0);
        for (at, letter) in group.char_indices().chain([(group.len(), ',')]) {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    if !group[from..at].trim().is_empty() {
                        expand(&path, &group[from..at], found);
                    }
                    from = at + 1;
                }
                _ => {}
            }
        }
        return;
    }
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let name =
        alias.map_or_else(|| path.last().cloned().unwrap_or_default(), |alias| alias.trim().to_owned());
    found.push(Use { path, name });
}

/// The paths of two and more steps that stand in the code itself.
fn paths(code: &str) -> Vec<Vec<String>> {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    let words = code.split(|letter| !is_part(letter)).filter(|word| word.contains("::"));
    words.map(|word| word.split("::").map(str::to_owned).collect()).collect()
}

fn resolve<'m>(
    from: &[String],
    path: &[String],
    modules: &'m Modules,
    exports: &HashMap<&'m Vec<String>, Vec<Use>>,
    depth: usize,
) -> Option<&'m Vec<String>> {
    let mut at = from.to_vec();
    let mut steps = path.iter().peekable();
    match steps.peek()?.as_str() {
        "crate" => at.clear(),
        "self" | "super" => {}
        first => {
            let mut child = at.clone();
            child.push(first.to_owned());
            modules.get(&child)?;
        }
    }
    while let Some(step) = steps.next() {
        match step.as_str() {
            "crate" | "self" => continue,
            "super" => {
                at.pop()?;
                continue;
            }
            _ => {}
        }
        at.push(step.clone());
        if modules.contains_key(&at) {
            continue;
        }
        at.pop();
        let (module, _) = modules.get_key_value(&at)?;
        let export = exports[module].iter().find(|export| export.name == *step || export.name == "*");
        // A re-export of a re-export ends soon; a deeper one would be a circle of names, which the compiler refuses.
        if let Some(export) = export.filter(|_| depth < 9) {
            let rest: Vec<String> = export.path.iter().cloned().chain(steps.cloned()).collect();
            return resolve(module, &rest, modules, exports, depth + 1).or(Some(module));
        }
        return Some(module);
    }
    modules.get_key_value(&at).map(|(module, _)| module)
}

//! The files that an argument names: a file, a folder with all that is below it, or a pattern such as `x/*.ndjson`.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::input::InputPath;

/// The inputs of the arguments, those of a folder or a pattern in the order of their names. What is no file stays as it
/// is, so that opening it says why. Standard input gets the name of its source.
pub fn expand(arguments: &[PathBuf], source: &str) -> Vec<InputPath> {
    let input = |path| match InputPath::new(path) {
        InputPath::StandardInput(_) => InputPath::StandardInput(source.to_owned()),
        file => file,
    };
    arguments.iter().flat_map(|argument| expanded(argument)).map(input).collect()
}

fn expanded(argument: &Path) -> Vec<PathBuf> {
    let is_pattern = argument.to_string_lossy().contains(['*', '?']) && !argument.exists();
    let mut found = Vec::new();
    if is_pattern {
        for path in matches(argument) {
            files_below(path, &mut found);
        }
    } else if argument.is_dir() {
        files_below(argument.to_owned(), &mut found);
    }
    if found.is_empty() { vec![argument.to_owned()] } else { found }
}

/// Adds a file, or the files below a folder. Folders behind links could lead back, and a name with a point or an
/// underscore in front is the mark of a program, such as `_SUCCESS`.
fn files_below(path: PathBuf, found: &mut Vec<PathBuf>) {
    if !path.is_dir() {
        return found.push(path);
    }
    for name in names_in(&path).into_iter().filter(|name| !is_mark(name, b"._")) {
        let path = path.join(name);
        if !(path.is_symlink() && path.is_dir()) {
            files_below(path, found);
        }
    }
}

/// The paths that match a pattern.
fn matches(pattern: &Path) -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::new()];
    for component in pattern.components() {
        let part = component.as_os_str().to_string_lossy();
        let is_pattern = matches!(component, Component::Normal(_)) && part.contains(['*', '?']);
        paths = paths
            .into_iter()
            .flat_map(|path| match is_pattern {
                false => vec![path.join(component)],
                true => {
                    let mut names = names_in(&path);
                    names.retain(|name| {
                        fits(part.as_bytes(), name.as_encoded_bytes())
                            && (part.starts_with('.') || !is_mark(name, b"."))
                    });
                    names.into_iter().map(|name| path.join(name)).collect()
                }
            })
            .filter(|path| path.as_os_str().is_empty() || path.exists())
            .collect();
    }
    paths
}

fn names_in(folder: &Path) -> Vec<OsString> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<OsString> = entries.map(|entry| entry.file_name()).collect();
    names.sort_unstable();
    names
}

fn is_mark(name: &OsStr, marks: &[u8]) -> bool {
    name.as_encoded_bytes().first().is_some_and(|first| marks.contains(first))
}

/// Whether a name fits a pattern: `*` stands for any text, `?` for one byte.
pub(super) fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|start| fits(rest, &name[start..])),
        ([b'?', rest @ ..], [_, behind @ ..]) => fits(rest, behind),
        ([letter, rest @ ..], [first, behind @ ..]) if letter == first => fits(rest, behind),
        _ => false,
    }
}

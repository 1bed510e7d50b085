//! The files that an argument names: a file, a folder with all that is below it, or a pattern such as `x/*.ndjson`.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use super::input::InputPath;
use super::pattern::fits;

/// The inputs of the arguments. Files of a folder or a pattern are in the order of their names. An argument that finds
/// no file stays as it is, so that opening it says why. Standard input gets the name of its source.
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
        let is_deep = argument.components().any(|part| part.as_os_str() == "**");
        let mut paths = matches(argument, &mut found);
        paths.retain(|path| !(is_deep && path.is_symlink() && path.is_dir()));
        paths.into_iter().for_each(|path| files_below(path, &mut found));
    } else if argument.is_dir() {
        files_below(argument.to_owned(), &mut found);
    }
    // With `**`, a folder and the files below it may both match.
    let mut known = HashSet::new();
    found.retain(|path| known.insert(path.clone()));
    if found.is_empty() { vec![argument.to_owned()] } else { found }
}

/// Adds a file, or the files below a folder. Leaves out links to folders, which could form a loop, names with a leading
/// dot or underscore, which programs use as marks (`_SUCCESS`), and pipes, sockets and devices, which may never end.
fn files_below(path: PathBuf, found: &mut Vec<PathBuf>) {
    if !path.is_dir() {
        if path.metadata().is_ok_and(|it| !it.is_file()) {
            return tracing::warn!(path = %path.display(), "it is no file but a pipe, a socket or a device, and is passed over: name it, to read it");
        }
        return found.push(path);
    }
    let Ok(names) = names_in(&path) else { return found.push(path) };
    for name in names.into_iter().filter(|name| !is_mark(name, b"._")) {
        let path = path.join(name);
        if !(path.is_symlink() && path.is_dir()) {
            files_below(path, found);
        }
    }
}

/// The paths that match a pattern. Adds folders that cannot be read to `found`, so that opening them says why.
fn matches(pattern: &Path, found: &mut Vec<PathBuf>) -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::new()];
    for component in pattern.components() {
        let part = component.as_os_str().to_string_lossy();
        let is_pattern = matches!(component, Component::Normal(_)) && part.contains(['*', '?']);
        paths = paths
            .into_iter()
            .flat_map(|path| match is_pattern {
                false => vec![path.join(component)],
                true if part == "**" => folders_below(path),
                true => {
                    let names = names_in(&path).inspect_err(|error| {
                        if path.is_symlink() || !is_absence(error) {
                            found.push(path.clone());
                        }
                    });
                    let mut names = names.unwrap_or_default();
                    names.retain(|name| {
                        fits(part.as_bytes(), name.as_encoded_bytes())
                            && (part.starts_with('.') || !is_mark(name, b"."))
                    });
                    names.into_iter().map(|name| path.join(name)).collect()
                }
            })
            .filter(|path| {
                path.as_os_str().is_empty() || !path.symlink_metadata().is_err_and(|error| is_absence(&error))
            })
            .collect();
    }
    paths
}

/// A folder and the folders below it, except for links and for folders whose name begins with a dot.
fn folders_below(folder: PathBuf) -> Vec<PathBuf> {
    let names = names_in(&folder).unwrap_or_default().into_iter().filter(|name| !is_mark(name, b"."));
    let paths = names.map(|name| folder.join(name)).filter(|path| path.is_dir() && !path.is_symlink());
    let below = paths.flat_map(folders_below).collect::<Vec<_>>();
    [vec![folder], below].concat()
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn names_in(folder: &Path) -> io::Result<Vec<OsString>> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name()));
    let mut names = names.collect::<io::Result<Vec<OsString>>>()?;
    names.sort_unstable();
    Ok(names)
}

fn is_mark(name: &OsStr, marks: &[u8]) -> bool {
    name.as_encoded_bytes().first().is_some_and(|first| marks.contains(first))
}

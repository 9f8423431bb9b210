//! The directory of hooks: which of its files are run.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::hook_run::PATH;
use crate::units::sorted::{SortedMap, SortedSet};

/// The kernel reads no more of it (`BINPRM_BUF_SIZE`).
const LONGEST_FIRST_LINE: u64 = 256;

/// The files in the directory of hooks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookFiles {
    /// Those that are run.
    pub programs: SortedSet<PathBuf>,
    /// Those that are not, each with the reason.
    pub others: SortedMap<PathBuf, String>,
}

impl HookFiles {
    /// Looks at a directory; one that is not there is empty. What begins with a dot is left out.
    pub fn of(directory: &Path) -> Self {
        let mut files = Self::default();
        if let Err(error) = files.add(directory) {
            files.others.insert(directory.to_owned(), error.to_string());
        }
        files
    }

    fn add(&mut self, directory: &Path) -> io::Result<()> {
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        if let Some(why) = distrust(&fs::metadata(directory)?) {
            return Err(io::Error::other(why));
        }
        if let Some(why) = open_parent(directory)? {
            return Err(io::Error::other(why));
        }
        let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
        for name in names.filter(|name| !name.as_encoded_bytes().starts_with(b".")) {
            let path = directory.join(&name);
            if let Some(why) = obstacle(&name, &path) {
                self.others.insert(path, why);
            } else {
                self.programs.insert(path);
            }
        }
        Ok(())
    }
}

/// Why a file is not run.
fn obstacle(name: &OsStr, path: &Path) -> Option<String> {
    if !is_proper(name) {
        let why = "its name has other characters than letters, digits, - and _";
        return Some(why.to_owned());
    }
    let metadata = match fs::metadata(path) {
        Err(error) => return Some(error.to_string()),
        Ok(metadata) => metadata,
    };
    if let Some(why) = distrust(&metadata) {
        Some(why.to_owned())
    } else if !metadata.is_file() {
        Some("is no file".to_owned())
    } else if metadata.permissions().mode() & 0o111 == 0 {
        Some("is not executable (chmod +x)".to_owned())
    } else {
        runnable(path).unwrap_or_else(|error| Some(error.to_string()))
    }
}

/// Why a file cannot be run although its mode says so, or not with trust.
fn runnable(path: &Path) -> io::Result<Option<String>> {
    if path.is_symlink()
        && let Some(why) = open_parent(path)?
    {
        return Ok(Some(why));
    }
    Ok(interpreter(path)?.as_deref().and_then(missing))
}

/// What the first line of a file says is to run it (execve(2)); none: it is a program of the machine.
fn interpreter(path: &Path) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    fs::File::open(path)?
        .take(LONGEST_FIRST_LINE)
        .read_to_end(&mut line)?;
    let is_binary = line.contains(&0);
    let end = line.iter().position(|byte| *byte == b'\n');
    line.truncate(end.unwrap_or(line.len()));
    let text = line.strip_prefix(b"#!").map(String::from_utf8_lossy);
    Ok(match text {
        Some(text) => Some(text.trim_matches([' ', '\t']).to_owned()),
        None if is_binary => None,
        None => Some(String::new()),
    })
}

/// Why an interpreter cannot be run, as the first line of a hook names it.
fn missing(line: &str) -> Option<String> {
    let (name, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let is_there = |path: &Path| fs::metadata(path).is_ok_and(|file| file.is_file());
    let argument = argument.trim();
    if name.is_empty() {
        return Some("its first line names no interpreter, as #!/bin/sh does".to_owned());
    }
    if !is_there(Path::new(name)) {
        return Some(format!("its interpreter {name:?} is not there"));
    }
    let is_looked_for = name.ends_with("/env") && !argument.contains(['-', '=', '/', ' ']);
    let mut places = PATH.split(':').map(Path::new);
    (is_looked_for && !places.any(|place| is_there(&place.join(argument))))
        .then(|| format!("its interpreter {argument:?} is nowhere in {PATH}"))
}

/// Whether all may replace a file or directory by another, as the mode of a directory above it says.
fn open_parent(path: &Path) -> io::Result<Option<String>> {
    let real = fs::canonicalize(path)?;
    for parent in real.ancestors().skip(1) {
        // In one with the sticky bit each may replace its own alone.
        if fs::metadata(parent)?.permissions().mode() & 0o1002 == 0o0002 {
            let parent = parent.display();
            return Ok(Some(format!(
                "others may replace it: all may write to {parent} (chmod o-w)"
            )));
        }
    }
    Ok(None)
}

/// As run-parts(8) has it: letters, digits, `-` and `_`, so that what an editor or a package manager
/// leaves behind is not run.
fn is_proper(name: &OsStr) -> bool {
    let is_proper = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    name.as_encoded_bytes().iter().all(is_proper)
}

/// What others than root and this user may change is not run.
fn distrust(metadata: &fs::Metadata) -> Option<&'static str> {
    let owner = metadata.uid();
    let is_trusted = owner == 0 || owner == nix::unistd::geteuid().as_raw();
    if !is_trusted {
        return Some("belongs neither to root nor to this user");
    }
    let is_open = metadata.permissions().mode() & 0o022 != 0;
    is_open.then_some("group or others may write to it (chmod go-w)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_not_there_is_as_good_as_empty() {
        let files = HookFiles::of(Path::new("/nonexistent/hooks.d"));
        assert_eq!(files, HookFiles::default());
    }
}

//! The files that the agent keeps: regular ones, read up to a limit, and replaced as a whole.
//!
//! Their directory may be one that others can write to. What is there instead of a file is not used: a link is not
//! followed, and a pipe keeps no caller waiting.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Whether a file that was replaced must outlast a power cut that follows at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The old one may come back.
    Lazy,
    /// It is on the disk.
    Synced,
    /// The same as lazy; all may read it, as the collector of a node exporter does.
    Shown,
}

const READ_BY_ALL: u32 = 0o644;

/// Opens a regular file.
///
/// # Errors
/// If that cannot be, or something else is there ([`is_foreign`]).
pub fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let other = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let file = match options.custom_flags(flags).open(path) {
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            return Err(other("it is a symbolic link"));
        }
        // A pipe that nothing reads, and a directory, cannot be opened to write.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENXIO | libc::EISDIR)) => {
            return Err(other("it is no regular file"));
        }
        opened => opened?,
    };
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(other("it is no regular file"))
    }
}

/// What is there is no file of the agent: something else, or too long.
pub fn is_foreign(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, InvalidInput};
    matches!(error.kind(), InvalidInput | FileTooLarge)
}

/// The content of a file; nothing if there is none.
///
/// # Errors
/// If it cannot be read, or is longer than `most`.
pub fn read(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match open(path, OpenOptions::new().read(true)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut content = Vec::new();
    file.take(most + 1).read_to_end(&mut content)?;
    if content.len() as u64 > most {
        let what = format!("it is longer than {most} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(Some(content))
}

/// Replaces a file, or makes it and its directory.
///
/// # Errors
/// If that cannot be; the old one is left whole.
pub fn replace(path: &Path, content: &[u8], durability: Durability) -> io::Result<()> {
    let beside = path.with_extension("new");
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = File::create_new(&beside)?;
    let mut write = || {
        file.write_all(content)?;
        match durability {
            Durability::Lazy => {}
            Durability::Synced => file.sync_all()?,
            Durability::Shown => file.set_permissions(Permissions::from_mode(READ_BY_ALL))?,
        }
        fs::rename(&beside, path)
    };
    write().inspect_err(|_| {
        // A full disk is not to stay full by half a file.
        let _ = fs::remove_file(&beside);
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;

    use super::*;

    /// Makes each kind of thing that is no file at a path.
    fn others(path: &Path, precious: &Path) -> Vec<Box<dyn Fn()>> {
        let [link, pipe, directory, dangling] = [(); 4].map(|()| path.to_owned());
        let precious = precious.to_owned();
        vec![
            Box::new(move || symlink(&precious, &link).expect("a link")),
            Box::new(move || symlink("/nowhere/at/all", &dangling).expect("a link")),
            Box::new(move || nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).expect("a pipe")),
            Box::new(move || fs::create_dir(&directory).expect("a directory")),
        ]
    }

    fn remove(path: &Path) {
        fs::remove_file(path)
            .or_else(|_| fs::remove_dir(path))
            .expect("removed");
    }

    #[test]
    fn what_is_no_file_is_neither_read_nor_followed_nor_waited_for() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, precious) = (
            directory.path().join("kept"),
            directory.path().join("precious"),
        );
        fs::write(&precious, "precious").expect("written");
        for make in others(&path, &precious) {
            make();
            let error = read(&path, 100).expect_err("no file");
            assert!(is_foreign(&error), "{error}");
            let mut append = OpenOptions::new();
            let error = open(&path, append.append(true).create(true)).expect_err("no file");
            assert!(is_foreign(&error), "{error}");
            remove(&path);
            // The same beside it, where the next one is written.
            let beside = path.with_extension("new");
            make();
            fs::rename(&path, &beside).expect("moved");
            let is_directory = beside.symlink_metadata().expect("there").is_dir();
            let replaced = replace(&path, b"new", Durability::Lazy);
            assert_eq!(replaced.is_err(), is_directory, "{replaced:?}");
            if is_directory {
                remove(&beside);
            } else {
                assert_eq!(read(&path, 3).expect("read"), Some(b"new".to_vec()));
                remove(&path);
            }
        }
        assert_eq!(fs::read(&precious).expect("there"), b"precious");
    }

    #[test]
    fn a_file_is_read_up_to_its_limit_and_none_is_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("deeper").join("kept");
        assert_eq!(read(&path, 3).expect("none"), None);
        replace(&path, b"four", Durability::Synced).expect("kept");
        assert_eq!(read(&path, 4).expect("read"), Some(b"four".to_vec()));
        let error = read(&path, 3).expect_err("too long");
        assert_eq!(error.to_string(), "it is longer than 3 bytes");
    }
}

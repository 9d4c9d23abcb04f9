//! Files replaced as a whole, with the mode and through the links of the old ones.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes a file beside its place and moves it there: a reader, or a memory map of the old file, never sees half of it.
///
/// A new file has the mode that the umask leaves, one that replaces another has that one's; a link goes on to lead to
/// the file.
pub fn replace(path: &Path, write: impl FnOnce(&Path) -> Result<(), String>) -> Result<(), String> {
    let text = |e: std::io::Error| e.to_string();
    let target = followed(path).map_err(text)?;
    let mut part = target.clone().into_os_string();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let old = fs::metadata(&target).ok().map(|m| m.permissions());
    let written = (|| {
        // The writer's own mode is narrower: a fresh file tells what the umask leaves.
        let fresh = File::create(&part).and_then(|f| f.metadata()).map_err(text)?.permissions();
        write(&part)?;
        fs::set_permissions(&part, old.unwrap_or(fresh)).map_err(text)?;
        fs::rename(&part, &target).map_err(text)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&part); // It may not exist; the error that counts is the first.
    }
    written
}

/// Where links lead, also to a file that does not exist yet.
fn followed(path: &Path) -> std::io::Result<PathBuf> {
    let mut at = path.to_path_buf();
    for _ in 0..40 {
        let Ok(next) = fs::read_link(&at) else { return Ok(at) };
        at = match at.parent() {
            Some(folder) => folder.join(next),
            None => next,
        };
    }
    Err(std::io::Error::other("too many links lead to each other"))
}

/// Makes a file of what is written to it.
pub fn fill(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<(), String> {
    let written = File::create(path).and_then(|f| {
        let mut to = BufWriter::new(f);
        write(&mut to)?;
        to.flush()
    });
    written.map_err(|e| e.to_string())
}

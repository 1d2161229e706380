//! Writes and reads exported catalogs: the only file of the catalog that touches a disk.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::Catalog;
use super::format::{Exported, Format};
use crate::{Error, ErrorKind, Result};

impl Catalog {
    /// Reads a catalog that was exported as JSON.
    ///
    /// # Errors
    /// `InvalidArgument` when it can't be read, or is no catalog.
    pub fn read(file: &Path) -> Result<Self> {
        let wrong = |why: &dyn std::fmt::Display| Error::invalid(format!("can't read {}: {why}", file.display()));
        let text = fs::read_to_string(file).map_err(|error| wrong(&error))?;
        serde_json::from_str(&text).map_err(|error| wrong(&format_args!("it is not an exported catalog: {error}")))
    }
}

/// Writes a format's files to `out` and returns the paths. A folder's files go below `out`, which is made if need be
/// and may hold other files; a single file is written as `out`, or into it when that is a folder. Nothing else is
/// touched: a symbolic link within the folder is refused.
///
/// # Errors
/// `InvalidArgument` when the format needs a folder and `out` is a file; `Unavailable` for what the disk says.
pub fn save(files: &[Exported], format: Format, out: &Path) -> Result<Vec<PathBuf>> {
    if format.is_folder() && out.exists() && !out.is_dir() {
        let out = out.display();
        return Err(Error::invalid(format!("the format {format} is a folder of files, and {out} is not a folder")));
    }
    if !format.is_folder() && !out.is_dir() {
        return files.iter().map(|file| write(out, file)).collect();
    }
    let place = |file: &Exported| {
        let path = below(out, &file.path)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
        }
        write(&path, file)
    };
    files.iter().map(place).collect()
}

/// A path below a folder that leads nowhere else.
fn below(folder: &Path, path: &str) -> Result<PathBuf> {
    let mut place = folder.to_owned();
    for part in Path::new(path).components() {
        let is_link = match part {
            Component::Normal(name) => {
                place.push(name);
                place.is_symlink()
            }
            _ => true,
        };
        if is_link {
            return Err(Error::invalid(format!("{} leads out of {}", place.display(), folder.display())));
        }
    }
    Ok(place)
}

fn write(path: &Path, file: &Exported) -> Result<PathBuf> {
    fs::write(path, &file.text).map_err(|error| failed(path, &error))?;
    Ok(path.to_owned())
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("can't write {}: {error}", path.display()))
}

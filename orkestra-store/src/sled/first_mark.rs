//! The file `mark` of format 1: one acknowledged write, which must be in sled when such a store is upgraded.
//!
//! ```text
//! checksum of the rest, 4 | durability, 1 | kind, 1 | version, 8 | length of the key, 2 | key, zeros up to 512 bytes in all
//! kind:  0 none, 1 the commit at this key, 2 the small value with this name, in this version or a later one
//! ```

use std::fs;
use std::io;
use std::path::Path;

use crate::kv::error::BackendError;
use crate::kv::map::View;
use crate::kv::small;

const BYTES: usize = 512;

/// A description of the marked write if it is missing; `None` if it is there or nothing is marked.
pub(super) fn missing(directory: &Path, view: &dyn View) -> Result<Option<String>, BackendError> {
    let bytes = match fs::read(directory.join("mark")) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match decode(&bytes) {
        Some((1, _, key)) if !view.contains_key(key)? => Ok(Some(format!("the commit at `{}`", key.escape_ascii()))),
        Some((2, version, name)) => {
            let name = String::from_utf8_lossy(name);
            let found = small::get(view, &name)?.map_or(0, |value| value.version);
            Ok((found < version).then(|| format!("version {version} of `{name}`")))
        }
        _ => Ok(None),
    }
}

/// The kind, version and key.
fn decode(bytes: &[u8]) -> Option<(u8, u64, &[u8])> {
    let (checksum, content) = bytes.split_first_chunk()?;
    if bytes.len() != BYTES || u32::from_be_bytes(*checksum) != crc32fast::hash(content) {
        return None;
    }
    let ([_, kind], rest) = content.split_first_chunk()?;
    let (version, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    Some((*kind, u64::from_be_bytes(*version), rest.get(..u16::from_be_bytes(*length).into())?))
}

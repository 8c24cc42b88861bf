//! Pictures in tool results: a reference in the journal, the content only in the request to a model.
//!
//! ```text
//! ToolOutput::images -> reference (path, hash) in the step's result -> Talk -> content, when it is sent
//! ```
//! IMPORTANT: a tool can name any file. Only files in the agent's own artifacts become pictures, and only as they were.

use std::{fmt::Write as _, path::Path};

use orkestra_tools::{ToolImage, ToolOutput, ToolScope};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::model::Image;

/// The largest picture that is sent: what providers accept, and a screenshot at most has.
const PICTURE_BYTES_MAX: u64 = 5 * 1024 * 1024;
/// The pictures of one turn that are sent: the newest ones. Those of earlier turns are not sent again.
const PICTURES_MAX: usize = 3;
/// The types that models take.
const MEDIA_TYPES: [&str; 3] = ["image/png", "image/jpeg", "image/webp"];

/// A picture that is kept as an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Picture {
    path: String,
    media_type: String,
    sha256: String,
}

/// The pictures of a turn, the oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Pictures(Vec<Picture>);

impl Pictures {
    pub(super) fn add(&mut self, pictures: &[Picture]) {
        self.0.extend(pictures.iter().cloned());
        self.0.drain(..self.0.len().saturating_sub(PICTURES_MAX));
    }

    /// Their contents. A file that was removed or changed is left out.
    pub(super) async fn load(&self) -> Vec<Image> {
        let pictures = self.0.clone();
        let load = move || pictures.iter().filter_map(Picture::load).collect();
        tokio::task::spawn_blocking(load).await.unwrap_or_default()
    }
}

impl Picture {
    /// The pictures that a tool made.
    pub(super) async fn of(output: &ToolOutput, scope: &ToolScope) -> Vec<Self> {
        let mut images = output.images.clone();
        images.retain(|image| MEDIA_TYPES.contains(&image.media_type.as_str()));
        if images.is_empty() {
            return Vec::new();
        }
        images.drain(..images.len().saturating_sub(PICTURES_MAX));
        let artifacts = scope.artifacts_path().to_owned();
        let find = move || {
            let artifacts = artifacts.canonicalize().ok()?;
            Some(images.into_iter().filter_map(|image| Self::found(image, &artifacts)).collect())
        };
        tokio::task::spawn_blocking(find).await.ok().flatten().unwrap_or_default()
    }

    fn found(image: ToolImage, artifacts: &Path) -> Option<Self> {
        let path = image.path.canonicalize().ok().filter(|path| path.starts_with(artifacts))?;
        let content = read(&path)?;
        Some(Self { path: path.to_str()?.to_owned(), media_type: image.media_type, sha256: hash(&content) })
    }

    fn load(&self) -> Option<Image> {
        let content = read(Path::new(&self.path)).filter(|content| hash(content) == self.sha256)?;
        Some(Image { media_type: self.media_type.clone(), content: content.into() })
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let metadata = path.symlink_metadata().ok()?;
    let is_fit = metadata.is_file() && metadata.len() <= PICTURE_BYTES_MAX;
    is_fit.then(|| std::fs::read(path).ok()).flatten()
}

fn hash(content: &[u8]) -> String {
    Sha256::digest(content).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

//! The workspace as a ZIP: all that is in it, nothing that is not.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::PathBuf;

use reqwest::StatusCode;
use serde_json::json;
use zip::ZipArchive;

use crate::support::Server;

/// The files of an archive by name; directories have a slash at their end.
pub(crate) fn unpacked(archive: Vec<u8>) -> BTreeMap<String, Vec<u8>> {
    let mut archive = ZipArchive::new(Cursor::new(archive)).expect("a whole archive");
    let mut files = BTreeMap::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).expect("an entry");
        let name = file.name().expect("UTF-8").into_owned();
        let mut content = Vec::new();
        file.read_to_end(&mut content).expect("its checksum is right");
        files.insert(name, content);
    }
    files
}

#[tokio::test]
async fn an_archive_holds_the_workspace_and_follows_nothing_out_of_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path()).await;
    let caller = server.register("a").await;
    let run = caller.run(json!({"project_id": "shop"})).await;
    caller.events(&run, 0).await;
    let workspace = only_entry(directory.path().join("workspace"));

    // Larger than all buffers on its way.
    let large = noise(3_000_000);
    std::fs::create_dir_all(workspace.join("deep/er/.hidden")).expect("directories");
    std::fs::write(workspace.join("deep/er/.hidden/large.bin"), &large).expect("a file");
    std::fs::write(workspace.join(".orkestra-write-1"), "ours").expect("a file");
    std::fs::write(workspace.join("name with ünicode"), "").expect("a file");
    std::fs::write(directory.path().join("secret"), "not for them").expect("a file");
    std::os::unix::fs::symlink(directory.path().join("secret"), workspace.join("file")).expect("a link");
    std::os::unix::fs::symlink(directory.path(), workspace.join("deep/everything")).expect("a link");
    rustix::fs::mkfifoat(rustix::fs::CWD, workspace.join("pipe"), 0o600.into()).expect("a pipe");

    let files = unpacked(caller.bytes(&format!("runs/{run}/download")).await);
    let expected = ["contract.json", "deep/", "deep/er/", "deep/er/.hidden/", "deep/er/.hidden/large.bin"];
    let expected: Vec<&str> = expected.into_iter().chain(["name with ünicode", "plan.md"]).collect();
    assert_eq!(files.keys().map(String::as_str).collect::<Vec<_>>(), expected);
    assert!(files["deep/er/.hidden/large.bin"] == large, "the content is whole");
}

#[tokio::test]
async fn a_download_works_before_the_first_file_and_when_clients_leave() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path()).await;
    let caller = server.register("a").await;
    let run = caller.run(json!({})).await;
    // Whatever is there at this moment: it is an archive.
    unpacked(caller.bytes(&format!("runs/{run}/download")).await);
    caller.events(&run, 0).await;

    let workspace = only_entry(directory.path().join("workspace"));
    std::fs::write(workspace.join("large"), noise(8 << 20)).expect("a file");
    let ask = async || {
        let request = caller.http.get(caller.url(&format!("runs/{run}/download"))).header("x-api-key", &caller.key);
        request.send().await.expect("an answer")
    };
    // Each of these is more than the buffers on its way hold: it waits for its client to read.
    let mut waiting = Vec::new();
    let refused = loop {
        let response = ask().await;
        if response.status() != StatusCode::OK {
            break response;
        }
        waiting.push(response);
        assert!(waiting.len() <= 32, "there is a limit");
    };
    assert_eq!((waiting.len(), refused.status()), (32, StatusCode::TOO_MANY_REQUESTS));
    assert!(refused.headers().contains_key("retry-after"));
    assert!(waiting.pop().expect("one of them").bytes().await.expect("it goes on").len() > 8 << 20);

    drop(waiting);
    std::fs::remove_dir_all(&workspace).expect("it is there");
    let files = loop {
        let response = ask().await;
        if response.status() == StatusCode::OK {
            break unpacked(response.bytes().await.expect("a body").to_vec());
        }
    };
    assert_eq!(files.len(), 0, "their places are free; a workspace that is gone is empty");
}

/// Bytes that cannot be compressed.
fn noise(bytes: u32) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(bytes as usize).collect()
}

/// The one entry of a directory.
fn only_entry(directory: PathBuf) -> PathBuf {
    let entries: Vec<_> = std::fs::read_dir(directory).expect("a directory").collect();
    assert_eq!(entries.len(), 1);
    entries.into_iter().flatten().map(|entry| entry.path()).next().expect("an entry")
}

//! Pushes a branch of the workspace to a server, from this process, without git.
//!
//! ```text
//! GET info/refs -> the server's branches -> sandbox: pack -> POST git-receive-pack: one update of one branch -> report
//! ```
//! A push never forces: an existing branch must be an ancestor of the new commit, which is proved here ([`lineage`]). The server
//! compares the old commit before it moves the branch. Repeating a push is safe: what is there already is not pushed again.

mod advertised;
mod lineage;
mod local;
mod pkt;
mod report;

use self::advertised::{Advertised, ZERO};
use self::pkt::{FLUSH, packet};
use self::report::Report;
use super::github::{Github, Place};
use crate::error::ToolError;
use crate::limits::{GIT_HAVES_MAX, GIT_PUSH_TIMEOUT, GIT_REFS_BYTES_MAX};
use crate::scope::ToolScope;
use crate::web::FetchRequest;

/// What a push did.
#[derive(Debug)]
pub(super) struct Pushed {
    pub(super) commit: String,
    /// The commit that the branch had on the server.
    pub(super) before: Option<String>,
    /// Whether files differ from the commit.
    pub(super) is_dirty: bool,
}

/// Pushes `place.head`.
pub(super) async fn push(scope: &ToolScope, github: &Github, place: &Place) -> Result<Pushed, ToolError> {
    let Place { head, base, .. } = place;
    let branch = local::branch(scope, head).await?;
    let server = advertised(github, place).await?;
    let Some(base_commit) = server.branches.get(base) else {
        return Err(ToolError::Refused(format!(
            "there is no branch `{base}` in {place} to merge into, so nothing was pushed; call again with another base"
        )));
    };
    if *base_commit == branch.commit {
        return Err(ToolError::Refused(format!(
            "`{head}` has no commits that `{base}` in {place} does not have, so there is nothing to merge; commit to `{head}` first"
        )));
    }
    let before = server.branches.get(head).cloned();
    let pushed = Pushed { commit: branch.commit.clone(), before: before.clone(), is_dirty: branch.is_dirty };
    if before.as_ref() == Some(&branch.commit) {
        return Ok(pushed);
    }
    let pack = packed(scope, &server, place, &branch.commit, before.as_deref()).await?;
    send(github, place, &server, &Update { old: before.as_deref().unwrap_or(ZERO), new: &branch.commit }, &pack)
        .await?;
    Ok(pushed)
}

/// One change of a branch.
struct Update<'a> {
    old: &'a str,
    new: &'a str,
}

/// The pack to send, after the proof that nothing is lost.
async fn packed(
    scope: &ToolScope,
    server: &Advertised,
    place: &Place,
    new: &str,
    old: Option<&str>,
) -> Result<Vec<u8>, ToolError> {
    let base = server.branches.get(&place.base);
    let first = old.into_iter().chain(base.map(String::as_str));
    let haves: Vec<&str> = first.chain(server.branches.values().map(String::as_str)).take(GIT_HAVES_MAX).collect();
    let known = local::known(scope, &haves).await?;
    if let Some(old) = old {
        let is_known = known.iter().any(|id| id == old);
        let is_descendant = is_known && lineage::descends(new, old, &local::between(scope, new, old).await?);
        if !is_descendant {
            let Place { head, .. } = place;
            return Err(ToolError::Refused(format!(
                "the branch `{head}` of {place} has commits that yours does not have, and a push never overwrites commits, so nothing was \
                 pushed; rename your branch with run_command `git branch -m {head} {head}-2` and call again with that head"
            )));
        }
    }
    local::pack(scope, server, new, &known).await
}

async fn advertised(github: &Github, place: &Place) -> Result<Advertised, ToolError> {
    let url = github.git_url(place, "info/refs?service=git-receive-pack");
    let request = FetchRequest::get(url).with_bytes_max(GIT_REFS_BYTES_MAX);
    let doing = "pushing";
    let response = github.git(request).await.map_err(|error| github.unreachable(doing, &error))?;
    if !response.is_success() {
        return Err(github.refused(doing, place, &response));
    }
    let strange = |why: &str| {
        ToolError::Refused(format!(
            "cannot push to {place}: the answer of the git server is not valid: {why}; ask the operator to check the address of the server"
        ))
    };
    if response.media_type() != "application/x-git-receive-pack-advertisement" {
        return Err(strange("it has another content type"));
    }
    if !response.is_complete {
        return Err(strange("it is too long"));
    }
    Advertised::read(&response.body).map_err(|why| strange(&why))
}

async fn send(
    github: &Github,
    place: &Place,
    server: &Advertised,
    update: &Update<'_>,
    pack: &[u8],
) -> Result<(), ToolError> {
    let reference = format!("refs/heads/{}", place.head);
    let has_bands = server.can("side-band-64k");
    let bands = if has_bands { " side-band-64k" } else { "" };
    let Update { old, new } = update;
    let command = packet(&format!("{old} {new} {reference}\0report-status{bands} agent=orkestra"));
    let body = [&command, FLUSH, pack].concat();
    let url = github.git_url(place, "git-receive-pack");
    let request =
        FetchRequest::post(url, "application/x-git-receive-pack-request", body).with_timeout(GIT_PUSH_TIMEOUT);
    let request = request.with_header("accept", "application/x-git-receive-pack-result");
    let unknown = |why: &str| {
        ToolError::Failed(format!(
            "it is not known whether `{}` was pushed to {place}: {why}; call again with the same arguments, which is safe",
            place.head
        ))
    };
    let response = github.git(request).await.map_err(|error| unknown(&error.to_string()))?;
    if response.status >= 500 {
        return Err(unknown(&format!("the server failed ({})", response.status)));
    }
    if !response.is_success() {
        return Err(github.refused("pushing", place, &response));
    }
    if !response.is_complete {
        return Err(unknown("the report is too long"));
    }
    match report::read(&response.body, &reference, has_bands) {
        Ok(Report::Pushed) => Ok(()),
        Ok(Report::Rejected(why)) => Err(ToolError::Refused(format!(
            "{place} does not accept the branch `{}`: {why}; correct this, or use another name as head",
            place.head
        ))),
        Err(why) => Err(unknown(&why)),
    }
}
